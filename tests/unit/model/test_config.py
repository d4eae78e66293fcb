"""The model's configuration: its counts equal the real model's, wrong shapes are refused with the fix."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from crawl2chat.core.errors import ContractError, RecipeError
from crawl2chat.core.settings_model import Model
from crawl2chat.model.config import ModelConfig, RopeScaling
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
        {"layers": 5, "width": 48, "heads": 3, "kv_heads": 3, "feed_forward": 17, "vocab_size": 77, "head_size": 16},
        {"head_size": 12},
        {"norm": "layer", "bias": True},
        {"norm": "layer", "bias": False, "positions": "learned", "activation": "gelu_tanh"},
        {"post_norm": True, "positions": "sinusoidal", "activation": "relu", "bias": True},
    ],
)
def test_parameters_equal_the_model(changes: dict) -> None:
    config = dataclasses.replace(BASE, **changes)
    model = Transformer(config)
    assert config.shapes() == {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    assert list(config.shapes()) == [name for name, _ in model.named_parameters()]
    assert config.parameters() == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("family", ["qwen3", "llama", "gpt2", "transformer2017"])
def test_parameters_of_families(family: str) -> None:
    """With every proportion left to the family."""
    config = ModelConfig.from_settings(Model.model_validate({"family": family, "layers": 2}), vocab_size=50)
    assert config.parameters() == sum(p.numel() for p in Transformer(config).parameters())


def test_parameters_of_real_models() -> None:
    """As published: GPT-2 has 124,439,808, Qwen3-0.6B 596,049,920, Llama-3.2-1B 1,235,814,400."""
    gpt2 = Model(family="gpt2", layers=12, width=768, heads=12, context=1024)
    assert ModelConfig.from_settings(gpt2, 50_257).parameters() == 124_439_808
    qwen3 = Model(layers=28, width=1024, heads=16, head_size=128, context=40_960)
    assert ModelConfig.from_settings(qwen3, 151_936).parameters() == 596_049_920
    llama = Model(family="llama", layers=16, width=2048, heads=32, kv_heads=8, feed_forward=8192, context=131_072)
    assert ModelConfig.from_settings(llama, 128_256).parameters() == 1_235_814_400


@pytest.mark.parametrize(
    "changes", [{}, {"tied_embeddings": False}, {"head_size": 12}, {"positions": "learned", "activation": "relu"}]
)
def test_flops_agree_with_counted_products(changes: dict) -> None:
    """PaLM's formula, less the norms' weights, is what PyTorch counts in the products of forward and backward."""
    config = dataclasses.replace(BASE, **changes)
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
        layers=3, width=64, heads=8, kv_heads=4, feed_forward=100, context=32, rope_theta=5e5, qk_norm=False,
        transfer={"base_width": 32, "base_layers": 2, "base_head_size": 4},
    )  # fmt: skip
    config = ModelConfig.from_settings(settings, vocab_size=500)
    settled = settings.settled().model_dump(exclude={"family"})
    assert None not in settled.values()
    assert config.to_dict() == {"vocab_size": 500, "rope_scaling": None, **settled}
    assert ModelConfig.from_dict(config.to_dict()) == config


def test_a_scaling_survives_the_dict() -> None:
    config = dataclasses.replace(BASE, rope_scaling=RopeScaling(8.0, 1.0, 4.0, 8192))
    assert ModelConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_configurations_of_older_checkpoints_are_read() -> None:
    """Before there were families: what they do not name is what qwen3 has."""
    old = {
        "vocab_size": 300, "layers": 2, "width": 32, "heads": 4, "kv_heads": 2, "feed_forward": 48, "context": 16,
        "rope_theta": 10_000.0, "norm_eps": 1e-6, "qk_norm": True, "tied_embeddings": True,
    }  # fmt: skip
    assert ModelConfig.from_dict(old) == BASE
    shape = {name: old[name] for name in ("layers", "width", "heads", "kv_heads", "feed_forward", "context")}
    assert ModelConfig.from_settings(Model.model_validate(shape), 300) == BASE


def test_settings_win_over_the_family() -> None:
    settled = Model(family="gpt2", bias=False, positions="rotary", norm_eps=1e-3, feed_forward=99).settled()
    assert (settled.norm, settled.bias, settled.positions) == ("layer", False, "rotary")
    assert (settled.norm_eps, settled.feed_forward) == (1e-3, 99)


def test_proportions_follow_the_family() -> None:
    assert [Model(family=name, heads=4).settled().kv_heads for name in ("qwen3", "gpt2")] == [2, 4]
    assert Model(width=96, heads=3).settled().kv_heads == 3  # halves of three do not exist
    assert [Model(family=name, width=64).settled().feed_forward for name in ("llama", "transformer2017")] == [192, 256]


@pytest.mark.parametrize(
    ("changes", "says", "fix"),
    [
        ({"heads": 5, "head_size": 0}, r"model.heads is 5, which does not divide model.width \(32\)", "model.heads=4"),
        ({"kv_heads": 3}, r"model.kv_heads is 3, which does not divide model.heads \(4\)", "model.kv_heads="),
        ({"head_size": 3}, "head size is 3 .*: rotary positions need an even one", "is even"),
        ({"width": 33, "positions": "sinusoidal"}, "model.width is 33: sinusoidal", "model.width"),
        ({"norm": "batch"}, "model.norm is 'batch'", "rms"),
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
