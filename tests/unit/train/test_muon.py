"""Muon's update against the singular value decomposition that it stands for, and sharded against unsharded."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from crawl2chat.core.settings_optimizer import Muon, Optimizer
from crawl2chat.core.settings_parallel import Parallel
from crawl2chat.model.config import ModelConfig
from crawl2chat.model.transformer import Transformer
from crawl2chat.train import checkpoints
from crawl2chat.train.job import Job
from crawl2chat.train.metrics import read_metrics
from crawl2chat.train.muon import COEFFICIENTS, MuonAdamW, orthogonalize, owners
from crawl2chat.train.optimizer import make_optimizer
from crawl2chat.train.worker import run_training
from crawl2chat.train.world import World

from .ranks import on_ranks


def by_decomposition(matrix: torch.Tensor, iterations: int) -> torch.Tensor:
    """U p(p(…p(S)…)) Vᵀ in float64: what Newton-Schulz does to the singular values, without its products."""
    a, b, c = COEFFICIENTS
    u, s, v = torch.linalg.svd(matrix.double() / matrix.double().norm(), full_matrices=False)
    for _ in range(iterations):
        s = a * s + b * s**3 + c * s**5
    return (u * s) @ v


@pytest.mark.parametrize("shape", [(12, 12), (8, 20), (20, 8)])
def test_newton_schulz_moves_the_singular_values_and_nothing_else(shape: tuple[int, int]) -> None:
    stack = torch.randn(3, *shape, generator=torch.Generator().manual_seed(1))
    done = orthogonalize(stack, 5, torch.float32)
    for matrix, result in zip(stack, done, strict=True):
        torch.testing.assert_close(result.double(), by_decomposition(matrix, 5), rtol=0, atol=1e-4)
        assert torch.linalg.svdvals(result).min() > 0.6 and torch.linalg.svdvals(result).max() < 1.25
    assert orthogonalize(torch.zeros(1, 4, 3), 5, torch.float32).count_nonzero() == 0


@pytest.mark.parametrize(("nesterov", "match_adamw"), [(True, False), (False, True)])
def test_two_steps_by_hand(nesterov: bool, match_adamw: bool) -> None:
    generator = torch.Generator().manual_seed(2)
    weight = torch.nn.Parameter(torch.randn(10, 4, generator=generator))
    settings = Muon(momentum=0.9, nesterov=nesterov, match_adamw=match_adamw)
    group = {"params": [weight], "muon": settings.model_dump(exclude={"learning_rate"}), "weight_decay": 0.5}
    optimizer = MuonAdamW([group], lr=0.02)
    expected, momentum = weight.detach().double(), torch.zeros(10, 4, dtype=torch.float64)
    for _ in range(2):
        weight.grad = torch.randn(10, 4, generator=generator)
        momentum = 0.9 * momentum + 0.1 * weight.grad.double()
        direction = 0.1 * weight.grad.double() + 0.9 * momentum if nesterov else momentum
        factor = 0.2 * 10**0.5 if match_adamw else 2.5**0.5
        expected = expected * (1 - 0.02 * 0.5) - 0.02 * factor * by_decomposition(direction, 5)
        optimizer.step()
    torch.testing.assert_close(weight.detach().double(), expected, rtol=0, atol=1e-5)


def test_torchs_muon_agrees_to_the_precision_of_its_bfloat16() -> None:
    generator = torch.Generator().manual_seed(3)
    ours = torch.nn.Parameter(torch.randn(6, 16, generator=generator))
    theirs = torch.nn.Parameter(ours.detach().clone())
    group = {"params": [ours], "muon": Muon().model_dump(exclude={"learning_rate"}), "weight_decay": 0.1}
    pair = MuonAdamW([group], lr=0.02), torch.optim.Muon([theirs], lr=0.02, weight_decay=0.1, momentum=0.95)
    for _ in range(5):
        ours.grad = torch.randn(6, 16, generator=generator)
        theirs.grad = ours.grad.clone()
        for optimizer in pair:
            optimizer.step()
    torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-3)  # five updates of some 0.02 · 0.25 each


def test_work_is_dealt_out_by_cost() -> None:
    assert owners([(8, 8), (32, 32), (8, 8), (8, 8)], 2) == [1, 0, 1, 1]
    assert owners([(4, 4)] * 4, 4) == [0, 1, 2, 3] and owners([(4, 4)] * 3, 1) == [0, 0, 0]


def test_embedding_gains_and_head_are_left_to_adamw(small: ModelConfig) -> None:
    model = Transformer(replace(small, tied_embeddings=False))
    model.init_weights(1)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    settings = Optimizer(learning_rate=0.5, muon=Muon(learning_rate=0.1), weight_decay=0.0, head_learning_rate=0.25)
    optimizer = make_optimizer(model, settings)
    for group in optimizer.param_groups:
        group["lr"] = 0.5 * group["lr_ratio"]
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    for name, parameter in model.named_parameters():
        moved = (before[name] - parameter.detach()).abs()
        if name.startswith("blocks.") and parameter.dim() == 2:
            assert set(optimizer.state[parameter]) == {"momentum", "step"}
            torch.testing.assert_close(moved, by_decomposition(torch.ones_like(moved), 5).float().abs() * 0.1 *
                                       max(1.0, moved.shape[0] / moved.shape[1]) ** 0.5, rtol=0, atol=1e-5)  # fmt: skip
        else:  # AdamW's first step has the size of the rate
            rate = 0.25 if name.startswith("head.") else 0.5
            torch.testing.assert_close(moved, torch.full_like(moved, rate), rtol=1e-5, atol=0)


@pytest.fixture
def muon_job(job: Job) -> Job:
    """Rows of 34 and 48 do not divide evenly among 4 ranks, and 8 (of the keys) are fewer than two a rank can share."""
    shape = replace(job.model, width=24, heads=3, kv_heads=1, feed_forward=34)
    settings = Optimizer(learning_rate=1e-2, warmup_steps=3, muon=Muon(learning_rate=0.02))
    return replace(job, model=shape, optimizer=settings, unit_parameters=1)


def train_rank(world: World, job: Job) -> None:
    run_training(job, world)


@pytest.mark.slow
def test_sharded_over_four_and_two_ranks_it_is_the_same_also_resumed_on_other_numbers(
    muon_job: Job, tmp_path: Path
) -> None:
    run_training(muon_job, World())
    two, four, hybrid = (replace(muon_job, folder=tmp_path / name) for name in ("two", "four", "hybrid"))
    hybrid = replace(hybrid, parallel=Parallel(shard_over=2))
    on_ranks((4, train_rank, (four,)), (4, train_rank, (hybrid,)), (2, train_rank, (two,)))
    on_one = replace(muon_job, folder=tmp_path / "one")
    shutil.copytree(four.checkpoints / "step_000016", on_one.checkpoints / "step_000016")
    assert run_training(on_one, World()) == 16
    for folder in (two, four, hybrid, on_one):
        assert_same(muon_job, folder)


def assert_same(job: Job, other: Job) -> None:
    mine, theirs = ({row["step"]: row for row in read_metrics(one.folder) if "loss" in row} for one in (job, other))
    for step, row in theirs.items():
        assert row["loss"] == pytest.approx(mine[step]["loss"], rel=1e-5)
    assert max(theirs) == 20
    one, two = (checkpoints.load_for_inference(j.checkpoints / "step_000020")[0] for j in (job, other))
    for mine, theirs in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-4)
