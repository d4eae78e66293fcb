"""LoRA: begins at the model, trains nothing else, merges exactly, is kept alone, and shards by blocks."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from crawl2chat.core.errors import ContractError, InputError, RecipeError
from crawl2chat.core.settings_optimizer import Muon, Optimizer
from crawl2chat.model.config import ModelConfig
from crawl2chat.model.transfer import Transfer
from crawl2chat.model.transformer import Transformer
from crawl2chat.train.lora import TARGETS, Lora, LoraLinear, init_lora, inject, lora_parameters, merge, without_lora
from crawl2chat.train.lora_file import lora_state, read_lora, write_lora
from crawl2chat.train.optimizer import make_optimizer
from crawl2chat.train.preference import Objective, pair_log_probs, preference_losses, reference_log_probs
from crawl2chat.train.savings import recompute_activations
from crawl2chat.train.sharding import shard
from crawl2chat.train.world import World
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from .ranks import on_ranks

EVERYWHERE = Lora(rank=3, alpha=6.0, targets=TARGETS)
TOKENS = torch.arange(8 * 16).view(8, 16) * 7 % 97


def made(config: ModelConfig, seed: int = 1) -> Transformer:
    model = Transformer(config)
    model.init_weights(seed)
    return model


@pytest.fixture
def untied(small: ModelConfig) -> ModelConfig:
    return replace(small, tied_embeddings=False)


def train(model: Transformer, settings: Optimizer | None = None, steps: int = 4, rows: torch.Tensor = TOKENS) -> None:
    optimizer = make_optimizer(model, settings or Optimizer(learning_rate=1e-2, warmup_steps=0))
    for _ in range(steps):
        optimizer.zero_grad()
        model(rows).float().logsumexp(-1).square().mean().backward()
        optimizer.step()


def logits(model: Transformer) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(TOKENS)


def test_it_begins_at_the_model_trains_a_and_b_alone_and_merges_exactly(untied: ModelConfig) -> None:
    model = made(untied)
    before, first = deepcopy(model.state_dict()), logits(model)
    inject(model, EVERYWHERE)
    assert torch.equal(logits(model), first)
    trainable = {name for name, one in model.named_parameters() if one.requires_grad}
    assert trainable == {name for name, _ in lora_parameters(model)}
    assert len(trainable) == 2 * (7 * untied.layers + 1)
    model.train()
    train(model)
    after = model.state_dict()
    assert all(torch.equal(after[name], whole) for name, whole in before.items())
    assert all(after[name].abs().max() > 0 for name in trainable)
    learnt = logits(model)
    assert (learnt - first).abs().max() > 0.1
    with without_lora(model):
        assert torch.equal(logits(model), first)
    assert torch.equal(logits(model), learnt)
    merge(model)
    torch.testing.assert_close(logits(model), learnt, rtol=1e-5, atol=1e-5)
    assert model.state_dict().keys() == before.keys() and all(one.requires_grad for one in model.parameters())
    assert not any(isinstance(one, LoraLinear) for one in model.modules())


def test_the_difference_is_that_of_the_paper(small: ModelConfig) -> None:
    """W + α / r · B A, on the named layers alone, biases as they were."""
    config = replace(small, bias=True, norm="layer", qk_norm=False)
    model = made(config)
    before = deepcopy(model.state_dict())
    inject(model, Lora(rank=2, alpha=5.0, targets=("output", "down")))
    train(model)
    parts = lora_state(model)
    merge(model)
    for name, weight in model.state_dict().items():
        layer = name.removesuffix(".weight")
        changed = name.endswith(("output.weight", "down.weight"))
        assert (f"{layer}.lora_a" in parts) == changed
        difference = 2.5 * parts[f"{layer}.lora_b"] @ parts[f"{layer}.lora_a"] if changed else torch.zeros(())
        torch.testing.assert_close(weight, before[name] + difference, rtol=1e-6, atol=1e-7)
    assert parts["blocks.0.attention.output.lora_b"].abs().max() > 1e-3


def test_groups_of_the_optimizer_are_those_of_the_layers(untied: ModelConfig) -> None:
    model = made(untied)
    inject(model, EVERYWHERE)
    settings = Optimizer(learning_rate=1e-2, head_learning_rate=5e-3, weight_decay=0.3)
    matrices, head = make_optimizer(model, settings).param_groups
    assert len(matrices["params"]) == 2 * 7 * untied.layers and matrices["weight_decay"] == 0.3
    assert len(head["params"]) == 2 and head["lr_ratio"] == 0.5
    train(model, Optimizer(learning_rate=1e-2, muon=Muon()))
    assert all(torch.isfinite(one).all() and one.abs().max() > 0 for _, one in lora_parameters(model))


@pytest.mark.parametrize("kind", ["full", "selective"])
def test_dropout_drops_the_same_when_a_block_is_computed_again(small: ModelConfig, kind: str) -> None:
    found = []
    for checkpointing in ("none", kind):
        model = made(small)
        recompute_activations(model, checkpointing)
        inject(model, replace(EVERYWHERE, dropout=0.5, targets=("query", "up", "down")))
        with torch.no_grad():
            for name, one in lora_parameters(model):
                one.fill_(0.05) if name.endswith("lora_b") else None
        torch.manual_seed(4)
        model.train()(TOKENS).square().mean().backward()
        found.append({name: one.grad for name, one in lora_parameters(model)})
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=1e-5, atol=1e-7)
    assert torch.equal(logits(model), logits(model)), "nothing drops in evaluation"
    assert not torch.equal(model.train()(TOKENS), model.train()(TOKENS))


def test_the_parameters_alone_are_kept_and_put_on_the_model_again(untied: ModelConfig, tmp_path: Path) -> None:
    model, path = made(untied), tmp_path / "lora.safetensors"
    inject(model, EVERYWHERE)
    train(model)
    write_lora(path, lora_state(model), EVERYWHERE, untied)
    again = made(untied)
    assert read_lora(path, again) == EVERYWHERE
    assert torch.equal(logits(again), logits(model))
    with pytest.raises(ContractError, match="width = 16, this one has 32"):
        read_lora(path, made(replace(untied, width=32, head_size=16)))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"lora.safetensors is no file of LoRA"):
        read_lora(path, made(untied))


def test_a_policy_is_its_own_reference(small: ModelConfig) -> None:
    """One model in memory serves a preference loss: without its differences it is what it began as."""
    model = made(small)
    answer = torch.zeros_like(TOKENS).bool()
    answer[:, 6:] = True
    expected = reference_log_probs(model, TOKENS, answer)
    inject(model, Lora(rank=4, alpha=32.0))
    optimizer = make_optimizer(model, Optimizer(learning_rate=1e-2))
    losses = []
    for _ in range(8):
        with without_lora(model):
            reference = reference_log_probs(model, TOKENS, answer)
        assert torch.equal(reference.chosen_P, expected.chosen_P)
        loss = preference_losses(pair_log_probs(model, TOKENS, answer), reference, Objective(beta=1.0)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.1


def sharded(world: World, config: ModelConfig, lora: Lora, expected: dict[str, torch.Tensor]) -> None:
    """Built without memory, as train/strategies.py does it, each block a unit of its own."""
    with torch.device("meta"):
        model = Transformer(config)
    inject(model, lora)
    shard(model, "fp32", world, unit_parameters=1)
    model.to_empty(device=world.device)
    model.init_weights(1)
    init_lora(model, 0)
    assert all(isinstance(block, FSDPModule) for block in model.blocks)
    assert all(isinstance(one, DTensor) for one in model.parameters())
    train(model, rows=TOKENS.tensor_split(world.size)[world.rank])
    state = lora_state(model)
    assert state.keys() == expected.keys()
    for name, whole in expected.items():
        torch.testing.assert_close(state[name], whole, rtol=1e-4, atol=1e-5)


def test_sharded_by_blocks_on_two_ranks_it_learns_the_same(untied: ModelConfig) -> None:
    lora = replace(EVERYWHERE, targets=("query", "value", "down", "head"))
    model = made(untied)
    inject(model, lora)
    train(model)
    on_ranks((2, sharded, (untied, lora, lora_state(model))))


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"rank": 0}, "rank is 0"),
        ({"alpha": 0.0}, "alpha is 0.0"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"targets": ("q_proj",)}, "q_proj"),
        ({"targets": ()}, r"targets are \[\]"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict, match: str) -> None:
    with pytest.raises(RecipeError, match=match):
        Lora(**settings)


def test_models_that_it_does_not_fit_are_refused(small: ModelConfig) -> None:
    with pytest.raises(RecipeError, match="no layer head for LoRA"):
        inject(made(small), Lora(targets=("query", "head")))
    model = made(small)
    inject(model, Lora())
    with pytest.raises(RecipeError, match="LoRA layers already"):
        inject(model, Lora())
    moved = replace(small, transfer=Transfer(base_width=8, base_layers=2, base_head_size=8))
    with pytest.raises(RecipeError, match="model.transfer"):
        inject(made(moved), Lora())
