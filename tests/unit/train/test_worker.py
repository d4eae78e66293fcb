"""Resume and worker counts, in plain processes without Ray."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from crawl2chat.train import checkpoints
from crawl2chat.train.job import Job
from crawl2chat.train.metrics import read_metrics
from crawl2chat.train.watch import without_figures
from crawl2chat.train.worker import run_training
from crawl2chat.train.world import World

from .ranks import on_ranks


class Stop(Exception):
    pass


def weights(job: Job) -> dict[str, torch.Tensor]:
    path = checkpoints.newest(job.checkpoints)
    assert path is not None
    return checkpoints.load_for_inference(path)[0].state_dict()


def rows(job: Job) -> list[dict[str, Any]]:
    return [without_figures(row) for row in read_metrics(job.folder)]


def stopping_at(job: Job, step: int, world: World) -> None:
    """Run until the checkpoint of `step` is in place, and die there."""

    def report(checkpoint: Path, row: dict[str, Any]) -> None:
        if checkpoint.name == f"step_{step:06d}":
            raise Stop

    with pytest.raises(Stop):
        run_training(job, world, report)


def one_rank(world: World, job: Job, stop: int | None) -> None:
    if stop is None:
        run_training(job, world)
    else:
        stopping_at(job, stop, world)


def in_processes(size: int, job: Job, stop: int | None = None) -> None:
    on_ranks((size, one_rank, (job, stop)))


def test_resuming_is_bit_identical_and_leaves_the_same_metrics(job: Job, tmp_path: Path) -> None:
    run_training(job, World())
    resumed = replace(job, folder=tmp_path / "resumed")
    stopping_at(resumed, 8, World())
    metrics = resumed.folder / "metrics.jsonl"
    with metrics.open("a") as file:  # what a killed writer may leave behind the checkpoint
        file.write('{"step": 12, "loss": 99.0}\n{"step": 16, "lo')
    assert run_training(resumed, World()) == 8
    assert rows(resumed) == rows(job)
    for name, tensor in weights(job).items():
        assert torch.equal(tensor, weights(resumed)[name]), name
    assert list((job.folder / "tensorboard").iterdir())


def test_a_finished_run_does_nothing(job: Job) -> None:
    run_training(job, World())
    before = rows(job)
    assert run_training(job, World()) == 20 and rows(job) == before


@pytest.mark.slow
def test_two_workers_equal_one_also_when_their_number_changes_in_between(job: Job, tmp_path: Path) -> None:
    run_training(job, World())
    two = replace(job, folder=tmp_path / "two")
    changed = replace(job, folder=tmp_path / "changed", unit_parameters=1)  # every block its own unit
    on_ranks((2, one_rank, (two, None)), (2, one_rank, (changed, 8)))
    run_training(changed, World())
    for other in (two, changed):
        for mine, theirs in zip(rows(job), rows(other), strict=True):
            assert mine.keys() == theirs.keys()
            assert all(mine[key] == pytest.approx(theirs[key], rel=1e-5) for key in mine), (mine, theirs)
        for name, tensor in weights(job).items():
            torch.testing.assert_close(tensor, weights(other)[name], rtol=0, atol=1e-4)
    assert len(list((two.checkpoints / "step_000020").glob("*.distcp"))) == 2  # both ranks wrote


@pytest.mark.slow
def test_a_run_goes_on_with_four_workers_then_three_then_one(job: Job, tmp_path: Path) -> None:
    """Three do not divide the batch of eight."""
    run_training(job, World())
    changed = replace(job, folder=tmp_path / "changed")
    on_ranks((4, one_rank, (changed, 8)), (3, one_rank, (changed, 16)))
    sizes = [len(list((changed.checkpoints / name).glob("*.distcp"))) for name in ("step_000008", "step_000016")]
    assert sizes == [4, 3]
    assert run_training(changed, World()) == 16
    for mine, theirs in zip(rows(job), rows(changed), strict=True):
        assert all(mine[key] == pytest.approx(theirs[key], rel=1e-5) for key in mine), (mine, theirs)


def test_two_workers_in_bfloat16_follow_float32(job: Job, tmp_path: Path) -> None:
    run_training(job, World())
    half = replace(job, folder=tmp_path / "half", plan=replace(job.plan, precision="bf16"))
    in_processes(2, half)
    mine, theirs = rows(job)[-1], rows(half)[-1]
    assert theirs["validation_loss"] == pytest.approx(mine["validation_loss"], rel=0.03)
    assert theirs["validation_loss"] != mine["validation_loss"]
    assert all(tensor.dtype == torch.float32 for tensor in weights(half).values())


def test_fine_tuning_starts_from_the_given_weights(job: Job, tmp_path: Path) -> None:
    run_training(job, World())
    tuned = replace(
        job,
        folder=tmp_path / "tuned",
        initial=job.checkpoints / "step_000020",
        validate_first=True,
        plan=replace(job.plan, steps=4),
    )
    run_training(tuned, World())
    assert rows(tuned)[0]["step"] == 0
    assert rows(tuned)[0]["validation_loss"] == rows(job)[-1]["validation_loss"]
