"""The model's configuration: its counts equal the real model's, wrong shapes are refused with the fix."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from crawl2chat.core.errors import ContractError, RecipeError
from crawl2chat.core.settings_training import Model
from crawl2chat.model.config import ModelConfig
from crawl2chat.model.transformer import Transformer
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

BASE = ModelConfig(vocab_size=300, layers=2, width=32, heads=4, kv_heads=2, feed_forward=48, context=16)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tied_embeddings": False},
        {"qk_norm": False},
        {"kv_heads": 1},
        {"kv_heads": 4},
        {"layers": 5, "width": 48, "heads": 3, "kv_heads": 3, "feed_forward": 17, "vocab_size": 77},
    ],
)
def test_parameters_equal_the_model(changes: dict) -> None:
    config = dataclasses.replace(BASE, **changes)
    assert config.parameters() == sum(p.numel() for p in Transformer(config).parameters())


@pytest.mark.parametrize("tied", [True, False])
def test_flops_agree_with_counted_products(tied: bool) -> None:
    """PaLM's formula, less the norms' weights, is what PyTorch counts in the products of forward and backward."""
    config = dataclasses.replace(BASE, tied_embeddings=tied)
    model = Transformer(config)
    tokens = torch.zeros(2, config.context, dtype=torch.long)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(tokens).sum().backward()
    norms = sum(p.numel() for p in model.parameters() if p.dim() == 1)
    assert counter.get_total_flops() == 2 * config.context * (config.flops_per_token() - 6 * norms)


def test_flops_formula() -> None:
    assert BASE.flops_per_token() == 6 * BASE.parameters() + 12 * 2 * 32 * 16


def test_from_settings_takes_every_field() -> None:
    settings = Model(
        layers=3, width=64, heads=8, kv_heads=4, feed_forward=100, context=32, rope_theta=5e5, qk_norm=False
    )
    config = ModelConfig.from_settings(settings, vocab_size=500)
    assert config.to_dict() == {"vocab_size": 500, **settings.model_dump()}
    assert ModelConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("changes", "says", "fix"),
    [
        ({"heads": 5}, r"model.heads is 5, which does not divide model.width \(32\)", "model.heads=4 would"),
        ({"kv_heads": 3}, r"model.kv_heads is 3, which does not divide model.heads \(4\)", "model.kv_heads="),
        ({"width": 12}, "heads is 3: rotary positions need an even head size", "is even"),
        ({"layers": 0}, "model.layers is 0", "at least 1"),
        ({"vocab_size": 1.5}, "model.vocab_size is 1.5", "whole number"),
        ({"rope_theta": 0.0}, "model.rope_theta is 0.0", "above 0"),
    ],
)
def test_wrong_shapes_are_refused(changes: dict, says: str, fix: str) -> None:
    with pytest.raises(RecipeError, match=says) as error:
        dataclasses.replace(BASE, **changes)
    assert fix in error.value.fix


def test_fields_of_another_version_are_refused() -> None:
    with pytest.raises(ContractError, match="experts is missing or unknown"):
        ModelConfig.from_dict({**BASE.to_dict(), "experts": 8})
    with pytest.raises(ContractError, match="width is missing or unknown"):
        ModelConfig.from_dict({name: value for name, value in BASE.to_dict().items() if name != "width"})
