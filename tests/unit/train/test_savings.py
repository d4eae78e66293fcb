"""Activation checkpointing and compilation save memory and time, and change no loss."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any, Literal

import pytest
import torch
import torch.nn.functional as F
from crawl2chat.core.settings_parallel import Parallel
from crawl2chat.model.config import ModelConfig
from crawl2chat.train.job import Job
from crawl2chat.train.metrics import read_metrics
from crawl2chat.train.savings import KEPT
from crawl2chat.train.strategies import build
from crawl2chat.train.worker import run_training
from crawl2chat.train.world import World
from torch._dynamo.utils import counters
from torch.utils._python_dispatch import TorchDispatchMode

from .ranks import on_ranks

Kind = Literal["none", "selective", "full"]


class Counting(TorchDispatchMode):
    """Counts the operators that are run."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[Any] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls[func] += 1
        return func(*args, **(kwargs or {}))


def one_step(config: ModelConfig, kind: Kind) -> tuple[float, list[torch.Tensor], Counter[Any], Counter[Any]]:
    """Loss, gradients, and the operators of the forward and of the backward pass."""
    model = build(config, 1, "fp32", World(), Parallel(checkpointing=kind)).train()
    tokens = torch.randint(0, config.vocab_size, (4, 16), generator=torch.Generator().manual_seed(1))
    with Counting() as forward:
        loss = F.cross_entropy(model(tokens).flatten(0, 1), tokens.roll(1).flatten())
    with Counting() as backward:
        loss.backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    return loss.item(), gradients, forward.calls, backward.calls


def test_recomputing_costs_what_it_says_and_changes_no_bit(small: ModelConfig) -> None:
    loss, gradients, forward, backward = one_step(small, "none")
    silu = torch.ops.aten.silu.default
    expensive = sum(forward[op] for op in KEPT)
    assert forward[silu] == small.layers and backward[silu] == 0
    # not the head's product; nor, where it is torch's own, a block's last, whose result no gradient needs: a function
    # of ours says what it keeps only when it has run
    ours = forward[torch.ops.crawl2chat.product.default]
    once_more = expensive - 1 - (0 if ours else small.layers)
    for kind, again in (("selective", 0), ("full", once_more)):
        found = one_step(small, kind)
        assert found[0] == loss
        assert all(torch.equal(one, other) for one, other in zip(found[1], gradients, strict=True))
        extra = {op: found[3][op] - backward[op] for op in {*found[3], *backward}}
        assert extra[silu] == small.layers, "activations are computed again"
        assert sum(extra.get(op, 0) for op in KEPT) == again


def test_all_blocks_share_one_compilation(small: ModelConfig) -> None:
    config = replace(small, layers=4)
    torch._dynamo.reset()
    counters.clear()
    plain, compiled = (build(config, 1, "fp32", World(), Parallel(compile=on)).train() for on in (False, True))
    tokens = torch.arange(32).view(2, 16)
    torch.testing.assert_close(compiled(tokens), plain(tokens), rtol=1e-5, atol=1e-6)
    assert counters["stats"]["unique_graphs"] == 1 and not counters["graph_break"]


def one_rank(world: World, job: Job) -> None:
    run_training(job, world)


@pytest.mark.slow
def test_they_change_no_loss_over_fifty_steps_alone_and_sharded(job: Job) -> None:
    plan = replace(job.plan, steps=50, log_every=1, validate_every=50, checkpoint_every=50)
    job = replace(job, plan=plan, unit_parameters=1)
    run_training(job, World())
    expected = [row["loss"] for row in read_metrics(job.folder) if "loss" in row]
    alone = [Parallel(checkpointing="selective"), Parallel(compile=True)]
    sharded = [
        Parallel(checkpointing="selective"),
        Parallel(checkpointing="full"),
        Parallel(compile=True, checkpointing="full"),
        Parallel(compile=True, strategy="ddp"),
    ]
    jobs = [
        replace(job, folder=job.folder.parent / f"kind-{number}", parallel=parallel)
        for number, parallel in enumerate([*alone, *sharded])
    ]
    for one in jobs[: len(alone)]:
        run_training(one, World())
    on_ranks(*((2, one_rank, (one,)) for one in jobs[len(alone) :]))
    for one in jobs:
        found = [row["loss"] for row in read_metrics(one.folder) if "loss" in row]
        assert found == pytest.approx(expected, rel=1e-5), one.parallel
    assert [row["loss"] for row in read_metrics(jobs[0].folder) if "loss" in row] == expected  # to the bit
