"""A run that stops and goes on has the bits of one that did not, under every strategy."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from crawl2chat.core.settings_parallel import Parallel
from crawl2chat.core.settings_watching import Watching
from crawl2chat.train import checkpoints
from crawl2chat.train.metrics import read_metrics
from crawl2chat.train.watch import without_figures
from crawl2chat.train.worker import Job, run_training
from crawl2chat.train.world import World

from .ranks import on_ranks

STRATEGIES: dict[str, dict[str, Any]] = {
    "ddp": {"strategy": "ddp"},
    "fsdp": {"strategy": "fsdp"},
    "hybrid": {"strategy": "fsdp", "shard_over": 2},
    "zero-3": {"strategy": "deepspeed", "zero_stage": 3},
}


class Stop(Exception):
    pass


def whole_and_in_two(world: World, whole: Job, stopped: Job) -> None:
    """The same job twice: at one go, and with an end behind the checkpoint of step 3."""

    def stop(checkpoint: Path, row: dict[str, Any]) -> None:
        raise Stop

    run_training(whole, world)
    with pytest.raises(Stop):
        run_training(stopped, world, stop)
    assert run_training(stopped, world) == 3


def end(job: Job) -> tuple[list[dict[str, Any]], dict[str, torch.Tensor]]:
    path = checkpoints.newest(job.checkpoints)
    assert path is not None and path.name == "step_000006"
    rows = [without_figures(row) for row in read_metrics(job.folder)]
    return rows, checkpoints.load_for_inference(path)[0].state_dict()


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 4])
def test_resuming_is_bit_identical_under_every_strategy(job: Job, size: int) -> None:
    """Two micro-batches a rank. Four ranks add up in an order that depends on where a number lies in its message."""
    names = [name for name in STRATEGIES if name != "hybrid" or size > 2]
    if importlib.util.find_spec("deepspeed") is None:
        names.remove("zero-3")
    plan = replace(job.plan, steps=6, micro_batch=1, batch=2 * size, log_every=1, checkpoint_every=3)
    job = replace(job, plan=plan, unit_parameters=1, open_validation=None, watching=Watching(tensorboard=False))
    pairs = {
        name: [
            replace(job, folder=job.folder.parent / f"{name}-{kind}", parallel=Parallel(**STRATEGIES[name]))
            for kind in ("whole", "stopped")
        ]
        for name in names
    }
    on_ranks(*((size, whole_and_in_two, tuple(pair)) for pair in pairs.values()))
    for name, (whole, stopped) in pairs.items():
        (mine, weights), (theirs, others) = end(whole), end(stopped)
        assert mine == theirs, name
        assert all(torch.equal(tensor, others[key]) for key, tensor in weights.items()), name
