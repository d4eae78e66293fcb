"""Notice that a node goes: all ranks leave at one step, with a checkpoint, and nothing is repeated."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from crawl2chat.train import checkpoints, notice
from crawl2chat.train.job import Job
from crawl2chat.train.metrics import read_metrics
from crawl2chat.train.notice import Leaving, Notice
from crawl2chat.train.watch import without_figures
from crawl2chat.train.worker import run_training
from crawl2chat.train.world import World

from .ranks import on_ranks


@pytest.mark.parametrize(("seconds", "steps"), [(0.01, 800), (0.25, 200), (7.0, 20)])
def test_ranks_are_asked_about_once_a_second_whatever_the_pace(
    monkeypatch: pytest.MonkeyPatch, seconds: float, steps: int
) -> None:
    asked: list[float] = []
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    given = Notice(World(), lambda: bool(asked.append(now)), 200)
    for step in range(201, 201 + steps):
        now += seconds
        assert not given.given(step)
    assert len(asked) == pytest.approx(steps * seconds / max(1.0, seconds), abs=2)


def test_nobody_is_asked_where_nobody_tells() -> None:
    assert not Notice(World(), None, 0).given(1)


def test_what_is_returned_to_the_driver_says_the_step() -> None:
    leaving = pickle.loads(pickle.dumps(Leaving(12)))
    assert leaving.step == 12 and "step 12" in str(leaving)


def told_at(job: Job, step: int) -> Callable[[], bool]:
    """Whether the run's metrics have come to a step."""
    return lambda: any(row["step"] >= step for row in read_metrics(job.folder))


def leave(world: World, job: Job, step: int) -> None:
    """Only the last rank is told."""
    notice.EVERY_S = 0  # ask after every step
    told = told_at(job, step) if world.rank == world.size - 1 else lambda: False
    with pytest.raises(Leaving) as caught:
        run_training(job, world, told=told)
    assert step <= caught.value.step < job.plan.steps
    path = checkpoints.newest(job.checkpoints)
    assert path is not None and checkpoints.read_meta(path).step == caught.value.step
    assert checkpoints.read_meta(path).step % job.plan.checkpoint_every, "not one that was due"


def test_two_ranks_leave_at_one_step_and_go_on_to_the_same_bits(job: Job, tmp_path: Path) -> None:
    on_ranks((2, leave, (job, 12)), (2, go_on, (job, 12)))
    alone = replace(job, folder=tmp_path / "alone")
    on_ranks((2, go_on, (alone, 0)))
    rows = [[without_figures(row) for row in read_metrics(one.folder)] for one in (job, alone)]
    assert rows[0] == rows[1]
    paths = [checkpoints.newest(one.checkpoints) for one in (job, alone)]
    ours, theirs = (checkpoints.load_for_inference(path)[0].state_dict() for path in paths if path is not None)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def go_on(world: World, job: Job, least: int) -> None:
    assert run_training(job, world) >= least
