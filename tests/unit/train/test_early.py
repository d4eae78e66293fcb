"""Training on the first shards before the others are there: its order, and what it learns, whenever they come."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from crawl2chat.core.errors import ContractError, InputError, StageError
from crawl2chat.core.files import write_json
from crawl2chat.core.late import ended
from crawl2chat.core.manifest import Manifest, file_entry, write_manifest
from crawl2chat.core.settings_training import ShardCache as Settings
from crawl2chat.train.checkpoints import load_for_inference, newest
from crawl2chat.train.course import read_course
from crawl2chat.train.early import EarlyRows, Late, OpenEarly
from crawl2chat.train.job import Job
from crawl2chat.train.loader import TokenDataset
from crawl2chat.train.loop import Plan, batch_indices
from crawl2chat.train.metrics import read_metrics
from crawl2chat.train.mixture import row_numbers
from crawl2chat.train.order import early_index, sample_index
from crawl2chat.train.verify import FOLDER
from crawl2chat.train.watch import without_figures
from crawl2chat.train.worker import run_training
from crawl2chat.train.world import World

from .ranks import on_ranks
from .test_verify import flip

CONTEXT, MARK = 16, "f" * 64


def never() -> int:
    raise AssertionError("the number of the others is not known yet")


def test_the_first_rows_come_first_and_an_epoch_has_every_row_once() -> None:
    for first, others in ((1, 0), (1, 1), (7, 50), (64, 3), (100, 0)):
        total = first + others
        order = early_index(5, np.arange(3 * total), first, lambda n=others: n)
        assert sorted(order[:first].tolist()) == list(range(first))
        assert sorted(order[first:total].tolist()) == list(range(first, total))
        for epoch in (1, 2):
            mine = order[epoch * total : (epoch + 1) * total]
            assert sorted(mine.tolist()) == list(range(total))
            assert mine.tolist() == sample_index(5, np.arange(epoch * total, (epoch + 1) * total), total).tolist()
    order = early_index(5, np.arange(400), 100, lambda: 100)
    assert order[:100].tolist() != sorted(order[:100].tolist()), "in a keyed order"
    assert order[:100].tolist() != (order[100:200] - 100).tolist(), "each part in one of its own"
    assert order.tolist() != early_index(6, np.arange(400), 100, lambda: 100).tolist()


def test_the_others_number_is_asked_only_for_their_positions() -> None:
    whole = early_index(5, np.arange(1000), 300, lambda: 400)
    assert early_index(5, np.arange(300), 300, never).tolist() == whole[:300].tolist()
    with pytest.raises(AssertionError, match="not known yet"):
        early_index(5, np.array([3, 300]), 300, never)
    assert early_index(5, np.array([999, 2, 300, 700]), 300, lambda: 400).tolist() == whole[[999, 2, 300, 700]].tolist()


class Others:
    """The stage `shards`, whose manifest comes when `finish` is called: its second and third file are the others."""

    def __init__(self, folder: Path, shards: list[Path]) -> None:
        self.folder, self.shards = folder, shards
        for path in shards:
            (folder / "train").mkdir(parents=True, exist_ok=True)
            (folder / "train" / path.name).write_bytes(path.read_bytes())
        entries = [file_entry(folder, folder / "train" / path.name, 1) for path in shards]
        about: dict[str, Any] = {
            "config": {},
            "inputs": {},
            "counters": {},
            "facts": {},
            "code_version": "",
            "seconds": 0,
        }
        self.manifest = Manifest(stage="shards", version=1, fingerprint=MARK, files=entries, **about)

    def finish(self) -> None:
        write_manifest(self.folder, self.manifest)

    def rows(self, cache: Settings | None = None) -> OpenEarly:
        late = Late(self.folder, MARK, frozenset({self.shards[0].name}), cache)
        return OpenEarly(self.shards[:1], late, CONTEXT)


@pytest.fixture
def others(tmp_path: Path, shards: list[Path]) -> Others:
    return Others(tmp_path / "shards", shards)


def test_rows_trace_and_batches_of_both_parts(others: Others) -> None:
    data = others.rows()()
    first, rest = TokenDataset(others.shards[:1], CONTEXT), TokenDataset(others.shards[1:], CONTEXT)
    few = np.arange(len(first))
    assert row_numbers(data, 3, few).tolist() == early_index(3, few, len(first), never).tolist()
    assert np.array_equal(data.batch(few)[0], first.batch(few)[0]) and not data.opened
    others.finish()
    assert len(data) == len(first) + len(rest) and data.opened
    mixed = np.array([len(first), 0, len(data) - 1, 5])
    behind, early = rest.batch(mixed[[0, 2]] - len(first)), first.batch(mixed[[1, 3]])
    for side, ours in enumerate(data.batch(mixed)):
        assert np.array_equal(ours[[0, 2]], behind[side]) and np.array_equal(ours[[1, 3]], early[side])
    assert data.trace(len(first)) == rest.trace(0) and data.trace(4) == first.trace(4)
    assert {span.file for row in range(len(data)) for span in data.trace(row)} == {path.name for path in others.shards}


def test_early_shards_alone(tmp_path: Path, shards: list[Path]) -> None:
    """All units came early, or the others have less than a row: the epoch is the early rows."""
    alone = Others(tmp_path / "alone", shards[:1])
    alone.finish()
    data = alone.rows()()
    assert len(data) == len(data.first)
    assert sorted(data.order(3, np.arange(2 * len(data))).tolist()) == sorted([*range(len(data))] * 2)
    with pytest.raises(InputError, match="too few for one row"):
        EarlyRows([], Late(tmp_path, MARK, frozenset()), CONTEXT)


def test_any_step_of_a_resumed_run_sees_the_same_batch(others: Others) -> None:
    others.finish()
    plan = Plan(steps=60, batch=8, seed=3)
    whole = others.rows()()
    batches = [batch_indices(plan, step, whole).tolist() for step in range(1, 61)]
    assert plan.steps * plan.batch > len(whole) > len(whole.first) > plan.batch
    for step in (60, 1, 17, 30):
        assert batch_indices(plan, step, others.rows()()).tolist() == batches[step - 1]


def early_job(job: Job, others: Others, folder: Path, cache: Settings | None = None) -> Job:
    """Steps from the fifteenth on reach behind the early rows."""
    first = {others.shards[0]: others.manifest.files[0].sha256}
    return replace(
        job, folder=folder, open_data=others.rows(cache), shards=first, shard_cache=cache, late=others.folder,
        plan=replace(job.plan, steps=24, log_every=1, checkpoint_every=8),
    )  # fmt: skip


def course_of(folder: Path) -> list[dict[str, Any]]:
    return [without_figures(row) for row in read_metrics(folder)]


def when_it_waits(folder: Path, act: Callable[[], None]) -> threading.Thread:
    def look() -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if any(line["what"] == "waits" for line in read_course(folder)):
                act()
                return
            time.sleep(0.01)

    thread = threading.Thread(target=look)
    thread.start()
    return thread


def run_one(world: World, job: Job) -> None:
    run_training(job, world)


def test_it_learns_the_same_whenever_the_others_come(job: Job, others: Others, tmp_path: Path) -> None:
    waiting = early_job(job, others, tmp_path / "waits")
    thread = when_it_waits(waiting.folder, others.finish)
    run_training(waiting, World())
    thread.join()
    ready = early_job(job, others, tmp_path / "ready")
    run_training(ready, World())
    [wait] = [line for line in read_course(waiting.folder) if line["what"] == "waits"]
    first = len(others.rows()().first)
    assert waiting.plan.begins(wait["step"]) <= first < waiting.plan.begins(wait["step"] + 1)
    assert all(line["what"] != "waits" for line in read_course(ready.folder))
    assert course_of(waiting.folder) == course_of(ready.folder)
    models = [load_for_inference(found)[0] for one in (waiting, ready) if (found := newest(one.checkpoints))]
    for ours, theirs in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(ours, theirs)
    [record] = (waiting.folder / FOLDER).iterdir()
    read = {Path(json.loads(line)["path"]).name for line in record.read_text().splitlines()}
    assert read == {path.name for path in others.shards}, "those that came late were verified too"


def test_two_ranks_wait_and_learn_as_one_does(job: Job, others: Others, tmp_path: Path) -> None:
    both = early_job(job, others, tmp_path / "both")
    thread = when_it_waits(both.folder, others.finish)
    on_ranks((2, run_one, (both,)))
    thread.join()
    one = early_job(job, others, tmp_path / "one")
    run_training(one, World())
    ours, theirs = ([row["loss"] for row in course_of(folder) if "loss" in row] for folder in (both.folder, one.folder))
    assert len(ours) == 24 and ours == pytest.approx(theirs, rel=1e-4)


def test_who_waits_for_a_stage_that_has_ended_ends(job: Job, others: Others, tmp_path: Path) -> None:
    lost = early_job(job, others, tmp_path / "lost")
    said = {"state": "failed", "error": "the disk is gone", "fix": "mount it"}
    thread = when_it_waits(lost.folder, lambda: write_json(tmp_path / "shards.ended", said))
    with pytest.raises(StageError, match="the stage shards failed: the disk is gone") as caught:
        run_training(lost, World())
    thread.join()
    assert caught.value.fix == "mount it" and ended(others.folder) is not None
    (tmp_path / "shards.ended").unlink()
    others.finish()
    assert run_training(lost, World()) > 0, "it goes on from its checkpoint"
    whole = early_job(job, others, tmp_path / "whole")
    run_training(whole, World())
    assert course_of(lost.folder) == course_of(whole.folder)


@pytest.mark.parametrize("bit", [1, 128])  # another token of the vocabulary; one outside of it
def test_nothing_that_a_corrupt_late_shard_has_taught_is_kept(
    job: Job, others: Others, tmp_path: Path, bit: int
) -> None:
    others.finish()
    bad = others.folder / "train" / others.shards[2].name
    flip(bad, bit)
    one = early_job(job, others, tmp_path / "corrupt")
    with pytest.raises(ContractError, match=bad.name):
        run_training(one, World())
    found = newest(one.checkpoints)
    step = int(found.name.removeprefix("step_")) if found else 0
    assert one.plan.begins(step + 1) <= len(others.rows()().first)


def test_late_shards_come_into_the_machines_cache(job: Job, others: Others, tmp_path: Path) -> None:
    cache = Settings(folder=str(tmp_path / "cache"), max_bytes=1 << 30)
    both = early_job(job, others, tmp_path / "cached", cache)
    thread = when_it_waits(both.folder, others.finish)
    on_ranks((2, run_one, (both,)))
    thread.join()
    lines = [line for path in (both.folder / FOLDER).iterdir() for line in path.read_text().splitlines()]
    assert {Path(json.loads(line)["path"]).parents[1] for line in lines} == {tmp_path / "cache"}
    assert len(lines) == len(others.shards)
    plain = early_job(job, others, tmp_path / "plain")
    run_training(plain, World())
    ours, theirs = ([row["loss"] for row in course_of(one.folder) if "loss" in row] for one in (both, plain))
    assert ours == pytest.approx(theirs, rel=1e-4)
