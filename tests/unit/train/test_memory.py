"""What model/memory.py computes is what a rank holds: shards to the byte, activations within a stated tolerance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from crawl2chat.core.settings_model import Model
from crawl2chat.core.settings_optimizer import Muon, Optimizer
from crawl2chat.core.settings_parallel import Parallel
from crawl2chat.model.config import ModelConfig
from crawl2chat.model.memory import activations, memory
from crawl2chat.train.loss import loss_sum, losses
from crawl2chat.train.optimizer import make_optimizer
from crawl2chat.train.strategies import build
from crawl2chat.train.world import World
from torch.distributed.tensor import DTensor

from .ranks import on_ranks

FAMILIES = ("qwen3", "llama", "gpt2", "transformer2017")
ROWS = 3


def small(family: str, **settings: Any) -> ModelConfig:
    """Sizes that two ranks do not divide evenly."""
    shape = {"layers": 3, "width": 42, "heads": 3, "feed_forward": 75, "context": 32, "family": family} | settings
    return ModelConfig.from_settings(Model.model_validate(shape), vocab_size=101)


def step(world: World, config: ModelConfig, muon: bool) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    model = build(config, 1, "fp32", world, Parallel(), unit_parameters=1)
    optimizer = make_optimizer(model, Optimizer(muon=Muon() if muon else None))
    rows = np.ones((ROWS, config.context), dtype=np.int64)
    loss_sum(model, rows, rows, "fp32", world.device).backward()
    optimizer.step()
    return model, optimizer


def local_bytes(tensor: torch.Tensor) -> int:
    return (tensor.to_local() if isinstance(tensor, DTensor) else tensor).nbytes


def measure(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, int]:
    parameters = list(model.parameters())
    assert all(parameter.grad is not None for parameter in parameters)
    states = [value for state in optimizer.state.values() for value in state.values()]
    return {
        "weights": sum(local_bytes(p) for p in parameters),
        "gradients": sum(local_bytes(p.grad) for p in parameters),  # type: ignore[arg-type]
        "optimizer": sum(local_bytes(state) for state in states),
    }


def write_measured(world: World, config: ModelConfig, muon: bool, folder: Path) -> None:
    (folder / f"{config.positions}-{world.rank}.json").write_text(json.dumps(measure(*step(world, config, muon))))


@pytest.mark.parametrize("muon", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_one_rank_holds_what_is_computed(family: str, muon: bool) -> None:
    computed = memory(small(family), ROWS, muon=muon)
    for name, found in measure(*step(World(), small(family), muon)).items():
        assert getattr(computed, name) == found, name


def test_two_ranks_hold_what_is_computed(tmp_path: Path) -> None:
    configs = {config.positions: config for config in (small("qwen3"), small("gpt2"), small("transformer2017"))}
    on_ranks(*((2, write_measured, (config, kind == "rotary", tmp_path)) for kind, config in configs.items()))
    for kind, config in configs.items():
        computed = memory(config, ROWS, "fsdp", ranks=2, muon=kind == "rotary")
        first, second = (json.loads((tmp_path / f"{kind}-{rank}.json").read_text()) for rank in (0, 1))
        assert first == {name: getattr(computed, name) for name in first}
        assert all(second[name] < first[name] for name in first)  # odd sizes: the first rank holds most
        assert first["weights"] + second["weights"] == 4 * config.parameters()


# ── activations ──────────────────────────────────────────────────────────────────────────────────────────────────────


def kept_bytes(config: ModelConfig, precision: str = "fp32", z_loss: float = 0.0) -> int:
    """Of all storages that autograd keeps from forward and loss, but the weights and their casts."""
    model = build(config, 1, precision, World()).train()
    shapes = {tuple(p.shape) for p in model.parameters()} | {
        tuple(p.T.shape) for p in model.parameters() if p.dim() > 1
    }
    storages: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if tuple(tensor.shape) not in shapes:
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    inputs, targets = (np.full((ROWS, config.context), value, dtype=np.int64) for value in (1, 2))
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        _, loss = losses(model, inputs, targets, precision, torch.device("cpu"), z_loss)
    assert loss.requires_grad
    return sum(storage.nbytes() for storage in storages.values())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("family", FAMILIES)
def test_activations_are_what_autograd_keeps(family: str, precision: str) -> None:
    config = small(family)
    assert activations(config, ROWS, precision) == pytest.approx(kept_bytes(config, precision), rel=0.02)


@pytest.mark.parametrize(
    "changes",
    [{"kv_heads": 1}, {"head_size": 20}, {"qk_norm": False}, {"activation": "relu"}, {"tied_embeddings": False}],
)
def test_activations_of_other_options(changes: dict) -> None:
    config = small("qwen3", **changes)
    assert activations(config, ROWS) == pytest.approx(kept_bytes(config), rel=0.02)


def test_z_loss_keeps_the_logits() -> None:
    config = small("qwen3")
    assert activations(config, ROWS, z_loss=True) == pytest.approx(kept_bytes(config, z_loss=1e-4), rel=0.02)


@pytest.mark.parametrize("checkpointing", ["none", "selective", "full"])
@pytest.mark.parametrize("family", FAMILIES)
def test_activations_are_what_the_forward_pass_leaves_behind(family: str, checkpointing: str) -> None:
    """As the allocator sees it: what was allocated and not freed, by whatever means it is kept."""
    config = small(family, context=64)
    model = build(config, 1, "fp32", World(), Parallel(checkpointing=checkpointing)).train()
    rows = np.ones((ROWS, config.context), dtype=np.int64)
    loss_sum(model, rows, rows, "fp32", torch.device("cpu")).backward()  # what is made once is made
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        loss = loss_sum(model, rows, rows, "fp32", torch.device("cpu"))
    assert loss.requires_grad
    left = sum(event.self_cpu_memory_usage for event in profile.key_averages())
    assert activations(config, ROWS, checkpointing=checkpointing) == pytest.approx(left, rel=0.1)


def test_checkpointing_trades_memory_for_work() -> None:
    config = small("llama", layers=12)
    none, selective, full = (memory(config, ROWS, checkpointing=kind) for kind in ("none", "selective", "full"))
    assert none.activations > selective.activations > full.activations
    assert none.recomputed == 0 < full.recomputed
    assert none.total > full.total


def test_sharding_divides_what_lasts() -> None:
    config = small("llama", width=64, heads=4, feed_forward=128, layers=8)
    one, four = memory(config, ROWS, "fsdp"), memory(config, ROWS, "fsdp", ranks=4, unit_parameters=1)
    assert 4 * four.gradients < 1.05 * one.gradients
    assert four.activations == one.activations
    assert four.copies < 4 * config.parameters()  # not all blocks at a time
    assert memory(config, ROWS, "ddp", ranks=4).gradients == 2 * one.gradients
