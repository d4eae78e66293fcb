from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pytest
from crawl2chat.core.errors import ContractError
from crawl2chat.core.files import sha256_file
from crawl2chat.core.settings_guard import SpikeGuard
from crawl2chat.train import checkpoints
from crawl2chat.train.job import Job
from crawl2chat.train.loader import TokenDataset
from crawl2chat.train.verify import FOLDER, Verifier
from crawl2chat.train.worker import run_training
from crawl2chat.train.world import World

from .ranks import on_ranks


@pytest.fixture
def digests(shards: list[Path]) -> dict[Path, str]:
    return {path: sha256_file(path) for path in shards}


def flip(path: Path, bit: int = 1) -> None:
    """Change a bit of a token, in the middle of the file."""
    data = bytearray(path.read_bytes())
    tokens = pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0)["tokens"].values.to_numpy()  # type: ignore[attr-defined]
    place = data.find(tokens.tobytes()) + len(tokens) // 2 * 2
    data[place] ^= bit
    path.write_bytes(data)


@pytest.mark.parametrize("bit", [1, 128])  # another token of the vocabulary; one outside of it
def test_a_corrupt_shard_ends_the_run_before_any_checkpoint_and_both_digests_are_named(
    job: Job, digests: dict[Path, str], bit: int
) -> None:
    bad = sorted(digests)[2]
    flip(bad, bit)
    with pytest.raises(ContractError) as caught:
        run_training(replace(job, shards=digests), World())
    for named in (str(bad), digests[bad], sha256_file(bad)):
        assert named in str(caught.value)
    assert not list(job.checkpoints.iterdir())


def verified(folder: Path, digests: dict[Path, str], world: World | None = None) -> int:
    """How many shards the records name after a start; what is wrong with one is raised."""
    assert Verifier(folder, digests, world or World(), threads=2).all_right(wait=True)
    return sum(len(path.read_text().splitlines()) for path in (folder / FOLDER).iterdir())


def test_a_shard_is_read_once_until_it_changes(tmp_path: Path, digests: dict[Path, str]) -> None:
    for _ in range(3):
        assert verified(tmp_path, digests) == len(digests)
    changed = sorted(digests)[0]
    flip(changed)
    with pytest.raises(ContractError):
        verified(tmp_path, digests)
    flip(changed)
    assert verified(tmp_path, digests) == len(digests) + 1


def test_an_unfinished_last_line_of_the_record_says_nothing_also_when_the_next_writer_goes_on_in_it(
    tmp_path: Path, digests: dict[Path, str]
) -> None:
    verified(tmp_path, digests)
    [record] = (tmp_path / FOLDER).iterdir()
    record.write_text(record.read_text()[:-30])
    for _ in range(3):
        verified(tmp_path, digests)


class Rank(World):
    """A rank on a machine that has several; its collectives know of no other's answers."""

    def __init__(self, rank: int, machines: tuple[str, ...]) -> None:
        super().__init__()
        self.rank, self.machines = rank, machines

    def gather(self, value: Any) -> list[Any]:
        here = self.machines[self.rank]
        return [value if name == here else "another machine" for name in self.machines]


def test_ranks_of_a_machine_share_out_its_shards(tmp_path: Path, digests: dict[Path, str]) -> None:
    for rank, number in ((1, 2), (2, 1)):
        assert verified(tmp_path / str(rank), digests, Rank(rank, ("b", "a", "a"))) == number


def test_no_shard_is_left_out_when_one_rank_is_done_before_the_next_begins(
    tmp_path: Path, digests: dict[Path, str]
) -> None:
    bad = sorted(digests)[1]  # it is the second rank's
    flip(bad)
    assert verified(tmp_path, digests, Rank(0, ("a", "a"))) == 2
    with pytest.raises(ContractError, match=bad.name):
        verified(tmp_path, digests, Rank(1, ("a", "a")))


def test_a_rank_that_stands_alone_finds_the_fault_in_another_ranks_share(
    tmp_path: Path, digests: dict[Path, str]
) -> None:
    bad = sorted(digests)[1]
    verifier = Verifier(tmp_path, digests, Rank(0, ("a", "a")))
    assert verifier.search() is None
    flip(bad)
    fault = Verifier(tmp_path, digests, Rank(0, ("a", "a"))).search()
    assert isinstance(fault, ContractError) and str(bad) in str(fault)


class Telling(TokenDataset):
    """Rows, the `number`-th batch of which lets a pipe speak `seconds` later."""

    def __init__(self, paths: list[Path], context: int, pipe: Path, number: int, seconds: float, text: bytes) -> None:
        super().__init__(paths, context)
        self.left, self.speak = number, threading.Timer(seconds, lambda: pipe.write_bytes(text))

    def batch(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.left -= 1
        if self.left == 0:
            self.speak.start()
        return super().batch(indices)


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Path]:
    """Something to be read whose reader waits until it speaks."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    stuck = threading.Timer(60, lambda: path.write_bytes(b"right"))  # else a run that waits for it waits for ever
    stuck.daemon = True
    stuck.start()
    yield path
    stuck.cancel()


def slow_shard(job: Job, pipe: Path, number: int, seconds: float = 0, text: bytes = b"right") -> Job:
    """A run among whose shards is the pipe."""
    data = cast("partial[TokenDataset]", job.open_data)
    open_data = partial(Telling, *data.args[:2], pipe, number, seconds, text)
    return replace(job, shards={pipe: hashlib.sha256(b"right").hexdigest()}, open_data=open_data, keep=99)


def reported(world: World, job: Job) -> list[str]:
    names: list[str] = []
    run_training(job, world, lambda checkpoint, row: names.append(checkpoint.name))
    return names


def reported_as(world: World, job: Job, folder: Path) -> None:
    if world.rank == 0:  # it reads the pipe; the other lets it speak
        job = slow_shard(job, next(iter(job.shards)), number=0)
    (folder / f"rank-{world.rank}").write_text(" ".join(reported(world, job)))


def test_a_checkpoint_is_put_off_until_all_shards_are_read(job: Job, pipe: Path) -> None:
    """The pipe speaks when the fourteenth batch is made, at most two steps ahead; checkpoints are due at 8, 16, 20."""
    names = reported(World(), slow_shard(job, pipe, 14))
    assert names[0] >= "step_000012" and names[-1] == "step_000020"
    meta = checkpoints.read_meta(job.checkpoints / names[0])
    assert meta.tokens_seen == meta.step * 8 * 16


def test_ranks_put_off_the_same_checkpoint(job: Job, tmp_path: Path, pipe: Path) -> None:
    on_ranks((2, reported_as, (slow_shard(job, pipe, 14), tmp_path)))
    names = [(tmp_path / f"rank-{rank}").read_text().split() for rank in (0, 1)]
    assert names[0] == names[1] and names[0][0] >= "step_000012" and names[0][-1] == "step_000020"


@pytest.mark.parametrize(
    ("policy", "number", "expected"),
    [("skip", 20, ["step_000020"]), ("rewind", 8, ["step_000008", "step_000016", "step_000020"])],
)
def test_the_last_step_and_a_run_that_may_go_back_wait(
    job: Job, pipe: Path, policy: Any, number: int, expected: list[str]
) -> None:
    """A run's result must not depend on when a shard was read; what it goes back to does."""
    guarded = replace(job, plan=replace(job.plan, guard=SpikeGuard(policy=policy)))
    assert reported(World(), slow_shard(guarded, pipe, number, seconds=0.5)) == expected


def test_a_corrupt_shard_that_is_read_last_leaves_no_checkpoint(job: Job, pipe: Path) -> None:
    with pytest.raises(ContractError, match="pipe"):
        reported(World(), slow_shard(job, pipe, 20, seconds=0.5, text=b"wrong"))
    assert not list(job.checkpoints.iterdir())
