"""The course of a run on a disk that is full, or on a machine that crashes."""

from __future__ import annotations

import os
import resource
from dataclasses import replace
from pathlib import Path

import pytest
from crawl2chat.core.errors import StageError
from crawl2chat.core.settings_watching import Watching
from crawl2chat.train import metrics
from crawl2chat.train.events import read_events
from crawl2chat.train.job import Job
from crawl2chat.train.record import Record
from crawl2chat.train.worker import run_training
from crawl2chat.train.world import World

from .limits import file_size_limit
from .ranks import on_ranks


def talkative(job: Job, tensorboard: bool = False) -> Job:
    """A row a step, and one checkpoint at the end."""
    plan = replace(job.plan, log_every=1, checkpoint_every=99)
    return replace(job, plan=plan, watching=Watching(tensorboard=tensorboard))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # TensorBoard's
@pytest.mark.parametrize("tensorboard", [False, True])
def test_metrics_that_fill_the_disk_end_the_run_with_an_error_of_ours(job: Job, tensorboard: bool) -> None:
    job = talkative(job, tensorboard)
    with file_size_limit(1500), pytest.raises(StageError, match="free some space") as caught:
        run_training(job, World())
    assert f"no metrics could be written to {job.folder}" in str(caught.value) and "File too large" in str(caught.value)
    assert run_training(job, World()) == 0
    assert [row["step"] for row in metrics.read_metrics(job.folder) if "loss" in row] == list(range(1, 21))


def full_on_rank_0(world: World, job: Job) -> None:
    limit = 1500 if world.rank == 0 else resource.RLIM_INFINITY
    with file_size_limit(limit), pytest.raises(StageError, match="free some space"):
        run_training(job, world)


@pytest.mark.slow
def test_they_end_it_on_every_rank(job: Job) -> None:
    on_ranks((2, full_on_rank_0, (talkative(job),)))


def test_what_a_checkpoint_counts_is_on_the_disk_before_it(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """Metrics and events, as the system is asked to flush them."""
    flushed: list[str] = []

    def fsync(handle: int, really: object = os.fsync) -> None:
        flushed.append(Path(f"/proc/self/fd/{handle}").readlink().name)
        assert callable(really)
        really(handle)

    job.folder.mkdir()
    record = Record(job, World(), 0, 0)
    record.write({"step": 1, "loss": 1.0})
    record.add_event(lambda: {"step": 1, "reason": "a spike", "action": "skip", "loss": float("nan")})
    monkeypatch.setattr(os, "fsync", fsync)
    record.sync()
    record.close()
    assert {"metrics.jsonl", "events.jsonl"} <= set(flushed)
    assert read_events(job.folder)[0]["loss"] == "nan"
