"""Shards on a machine's own disk: the same rows, no more than the bound, nothing taken from who is at work."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crawl2chat.core.errors import ContractError, InputError
from crawl2chat.core.files import sha256_file
from crawl2chat.core.settings_training import ShardCache as Settings
from crawl2chat.train.job import Job
from crawl2chat.train.loader import TokenDataset
from crawl2chat.train.mixture import OpenRows
from crawl2chat.train.shard_cache import ShardCache
from crawl2chat.train.verify import FOLDER
from crawl2chat.train.worker import run_training
from crawl2chat.train.world import World

from .ranks import on_ranks
from .test_verify import flip

PLENTY = 1 << 30


@pytest.fixture
def digests(shards: list[Path]) -> dict[Path, str]:
    return {path: sha256_file(path) for path in shards}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def copies(folder: Path) -> list[Path]:
    """All files that take room."""
    return sorted(path for path in folder.glob("*/*") if path.parent.name != "users")


def test_rows_come_in_the_same_order_from_copies_of_which_some_lie_in_storage(
    folder: Path, digests: dict[Path, str], shards: list[Path]
) -> None:
    room = sum(path.stat().st_size for path in shards) - 1
    with ShardCache(folder, room) as cache:
        places = cache.bring(digests)
        assert len(places) == 2 and sum(path.stat().st_size for path in copies(folder)) <= room
        assert all(sha256_file(place) == digests[path] for path, place in places.items())
        ours, theirs = OpenRows(shards, 16, None).at(places)(), TokenDataset(shards, 16)
        assert len(ours) == len(theirs)
        every = np.arange(len(ours))
        for one, two in zip(ours.batch(every), theirs.batch(every), strict=True):
            assert np.array_equal(one, two)
        assert [ours.trace(index) for index in range(9)] == [theirs.trace(index) for index in range(9)]


def test_a_shard_that_is_corrupt_in_storage_is_named_and_nothing_of_it_stays(
    folder: Path, digests: dict[Path, str]
) -> None:
    bad = sorted(digests)[1]
    data = bytearray(bad.read_bytes())
    data[-1] ^= 1
    bad.write_bytes(data)
    with ShardCache(folder, PLENTY) as cache, pytest.raises(ContractError, match=bad.name):
        cache.bring(digests)
    assert all(place.parent.name == sha256_file(place) for place in copies(folder)), "whole and right, or not there"
    assert bad.name not in {place.name for place in copies(folder)}


def test_the_longest_unwanted_makes_room_and_what_is_at_work_stays(
    folder: Path, digests: dict[Path, str], caplog: pytest.LogCaptureFixture
) -> None:
    first, second, third = sorted(digests)
    sizes = {path: path.stat().st_size for path in digests}
    for number, path in enumerate((third, first)):  # third is the older one
        with ShardCache(folder, PLENTY) as cache:
            place = cache.bring({path: digests[path]})[path]
        os.utime(place.parent, (number, number))
    room = sizes[first] + max(sizes[second], sizes[third])
    with ShardCache(folder, room) as cache:
        cache.bring({second: digests[second]})
        assert {place.name for place in copies(folder)} == {first.name, second.name}
        with ShardCache(folder, sizes[second]) as other:  # first is nobody's; second is at work
            assert other.bring({third: digests[third]}) == {}
            assert {place.name for place in copies(folder)} == {second.name}
            assert "no room for 1 of 1 shards" in caplog.text
    with ShardCache(folder, sizes[third]) as other:
        assert set(other.bring({third: digests[third]})) == {third}
        assert {place.name for place in copies(folder)} == {third.name}, "who has ended needs nothing"
    assert not list((folder / "users").iterdir())


def test_who_was_killed_holds_neither_room_nor_shards(folder: Path, digests: dict[Path, str]) -> None:
    script = (
        "import json, sys, time; from pathlib import Path; from crawl2chat.train import shard_cache as module\n"
        "def slow(self, shard): print('copying', flush=True); time.sleep(600)\n"
        "module.ShardCache._copy = slow\n"
        "with module.ShardCache(Path(sys.argv[1]), 1 << 30) as cache:\n"
        "    cache.bring({Path(path): digest for path, digest in json.loads(sys.argv[2]).items()})\n"
    )
    told = json.dumps({str(path): digest for path, digest in digests.items()})
    process = subprocess.Popen([sys.executable, "-c", script, str(folder), told], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "copying\n"
    assert any(path.name.endswith(".partial") for path in copies(folder))
    with ShardCache(folder, sum(path.stat().st_size for path in digests)) as cache:
        assert cache.bring(digests) == {}, "its room is reserved"
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert set(cache.bring(digests)) == set(digests)
    assert {path.name for path in copies(folder)} == {path.name for path in digests}


def cached(job: Job, shards: list[Path], digests: dict[Path, str], folder: Path, room: int = PLENTY) -> Job:
    rows = OpenRows(shards, job.model.context, None)
    return replace(job, open_data=rows, shards=digests, shard_cache=Settings(folder=str(folder), max_bytes=room))


def losses(folder: Path) -> list[Any]:
    return [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines() if "lr" in line]


def test_training_reads_its_machines_copies_and_learns_the_same(
    job: Job, shards: list[Path], digests: dict[Path, str], folder: Path, tmp_path: Path
) -> None:
    run_training(replace(cached(job, shards, digests, folder), shard_cache=None), World())
    with_cache = replace(cached(job, shards, digests, folder), folder=tmp_path / "cached")
    on_ranks((2, run_both, (with_cache,)))
    alone, both = losses(job.folder), losses(with_cache.folder)
    assert len(alone) > 2 and both == pytest.approx(alone, rel=1e-5)
    lines = [line for path in (with_cache.folder / FOLDER).iterdir() for line in path.read_text().splitlines()]
    assert {Path(json.loads(line)["path"]).parent.parent for line in lines} == {folder}, "copies are what was verified"
    assert len(lines) == len(shards)


def run_both(world: World, job: Job) -> None:
    run_training(job, world)


def test_a_copy_that_went_bad_is_to_be_removed_and_not_the_stage(
    job: Job, shards: list[Path], digests: dict[Path, str], folder: Path
) -> None:
    with ShardCache(folder, PLENTY) as cache:
        place = cache.bring(digests)[shards[0]]
    flip(place)
    with pytest.raises(ContractError, match="remove that copy") as caught:
        run_training(cached(job, shards, digests, folder), World())
    assert str(place) in str(caught.value)


def test_a_folder_that_cannot_be_written_is_an_error_with_its_name(
    job: Job, shards: list[Path], digests: dict[Path, str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(InputError, match="resources.shard_cache") as caught:
        run_training(cached(job, shards, digests, tmp_path / "file" / "cache"), World())
    assert str(tmp_path / "file") in str(caught.value)
