"""What a driver tells of a training: told by a job's own files, as rank 0 writes them."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from crawl2chat.core.progress import Progress
from crawl2chat.core.run_events import RunEvents, read_run_events
from crawl2chat.train.course import add_checkpoint, add_start
from crawl2chat.train.events import add_event, cut_events
from crawl2chat.train.follow import Follower, follow
from crawl2chat.train.job import Job
from crawl2chat.train.metrics import last_row, read_metrics
from crawl2chat.train.worker import run_training
from crawl2chat.train.world import World


class Heard(Progress):
    """Remembers its numbers instead of handing them to Ray."""

    def __init__(self, folder: Path) -> None:
        super().__init__("pretrain", RunEvents(folder, "r"))
        self.counted: dict[str, float] = {}
        self.shown: dict[str, float] = {}

    def count(self, name: str, amount: float, **labels: str) -> None:
        self.counted[name] = self.counted.get(name, 0) + amount

    def show(self, name: str, value: float) -> None:
        self.shown[name] = value


def told(folder: Path) -> list[dict[str, Any]]:
    """Events without times; and without those of progress, which a slow machine has more of."""
    found = [event for event in read_run_events(folder) if event["event"] != "progress"]
    return [{key: value for key, value in event.items() if key not in ("time", "run")} for event in found]


class Stop(Exception):
    pass


def test_a_training_that_stops_and_goes_on_is_told_once(job: Job, tmp_path: Path) -> None:
    def stop(checkpoint: Path, row: dict[str, object]) -> None:
        raise Stop

    logs = tmp_path / "logs"
    first = Heard(logs)
    with pytest.raises(Stop), follow(job.folder, 0, 0, first):
        run_training(job, World(), stop)
    _, start = job.resume_from()
    second = Heard(logs)
    with follow(job.folder, start.step, start.tokens_seen, second):
        run_training(job, World())
    common = {"stage": "pretrain"}
    assert told(logs) == [
        {"event": "training_began", **common, "step": 0, "ranks": 1},
        {"event": "checkpoint", **common, "step": 8},
        {"event": "training_resumed", **common, "step": 8, "ranks": 1},
        {"event": "checkpoint", **common, "step": 16},
        {"event": "checkpoint", **common, "step": 20},
    ]
    row = last_row(job.folder)
    assert row is not None and row["step"] == 20
    assert second.counted["crawl2chat_tokens_total"] == row["tokens_seen"] - start.tokens_seen
    assert (first.counted["crawl2chat_resumes_total"], second.counted["crawl2chat_resumes_total"]) == (0, 1)
    assert second.shown["crawl2chat_loss"] == row["loss"] == read_metrics(job.folder)[-2]["loss"]


def test_pace_ends_with_the_training_and_the_loss_stays(job: Job, tmp_path: Path) -> None:
    job.folder.mkdir(parents=True)
    heard = Heard(tmp_path / "logs")
    follower = Follower(job.folder, 0, 0, heard)
    run_training(job, World())
    follower.look()
    row = last_row(job.folder)
    assert row is not None
    rates = ("tokens_per_second", "mfu")
    assert [heard.shown[f"crawl2chat_{name}"] for name in rates] == [row[name] for name in rates]
    follower.end()
    assert [heard.shown[f"crawl2chat_{name}"] for name in rates] == [0, 0]
    assert heard.shown["crawl2chat_loss"] == row["loss"]


def test_the_age_is_what_a_kill_would_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not counted: the hours that nobody trained between a checkpoint and the workers that go on from it."""
    now = [1000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    add_start(tmp_path, 0, 2)
    add_checkpoint(tmp_path, 10)
    heard = Heard(tmp_path / "logs")
    follower = Follower(tmp_path, 10, 0, heard)
    now[0] = 9000.0
    follower.look()
    assert "crawl2chat_checkpoint_age_seconds" not in heard.shown, "the workers have not begun"
    add_start(tmp_path, 10, 2)
    ages = []
    for _ in range(3):
        now[0] += 30
        follower.look()
        ages.append(heard.shown["crawl2chat_checkpoint_age_seconds"])
    add_checkpoint(tmp_path, 20)
    now[0] += 5
    follower.look()
    assert [*ages, heard.shown["crawl2chat_checkpoint_age_seconds"]] == [30, 60, 90, 5]


def test_spikes_are_told_once_though_a_resume_cuts_them(tmp_path: Path) -> None:
    heard = Heard(tmp_path / "logs")
    follower = Follower(tmp_path, 0, 0, heard)
    spike = {"step": 7, "reason": "the loss is 9", "action": "skip", "loss": 9.0, "rows": [1, 2], "doc_ids": ["a"]}
    add_event(tmp_path, spike)
    follower.look()
    cut_events(tmp_path, 0)  # a resume from before it: it happens again
    follower.look()
    add_event(tmp_path, spike)
    follower.look()
    add_event(tmp_path, spike | {"step": 9})
    follower.look()
    assert [(event["event"], event["step"], event["action"]) for event in told(tmp_path / "logs")] == [
        ("spike", 7, "skip"),
        ("spike", 9, "skip"),
    ]
    assert heard.counted["crawl2chat_spikes_total"] == 2
    assert all("doc_ids" not in event for event in told(tmp_path / "logs"))


def test_every_row_of_metrics_is_shown_with_the_ranks_figures(job: Job) -> None:
    rows: list[dict[str, Any]] = []
    run_training(replace(job, plan=replace(job.plan, steps=8)), World(), show=rows.append)
    assert rows == read_metrics(job.folder)
    assert all(row["memory_bytes"] > 0 and 0 <= row["data_wait"] <= 1 for row in rows if "loss" in row)
