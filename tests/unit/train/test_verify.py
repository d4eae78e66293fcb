from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from crawl2chat.core.errors import ContractError
from crawl2chat.core.files import sha256_file
from crawl2chat.train.job import Job
from crawl2chat.train.verify import FOLDER, Verifier
from crawl2chat.train.worker import run_training
from crawl2chat.train.world import World


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


def test_a_shard_is_read_once_until_it_changes(tmp_path: Path, digests: dict[Path, str]) -> None:
    def record() -> list[str]:
        return [line for path in (tmp_path / FOLDER).iterdir() for line in path.read_text().splitlines()]

    for _ in range(3):
        assert Verifier(tmp_path, digests, World(), threads=2).error(wait=True) is None
        assert len(record()) == len(digests)
    changed = sorted(digests)[0]
    flip(changed)
    assert isinstance(Verifier(tmp_path, digests, World()).error(wait=True), ContractError)
    flip(changed)
    assert Verifier(tmp_path, digests, World()).error(wait=True) is None
    assert len(record()) == len(digests) + 1


def test_an_unfinished_last_line_of_the_record_is_none(tmp_path: Path, digests: dict[Path, str]) -> None:
    assert Verifier(tmp_path, digests, World()).error(wait=True) is None
    [record] = (tmp_path / FOLDER).iterdir()
    record.write_text(record.read_text()[:-30])
    assert Verifier(tmp_path, digests, World()).error(wait=True) is None


def test_ranks_of_a_machine_share_out_its_shards(tmp_path: Path, digests: dict[Path, str]) -> None:
    class Rank(World):
        def __init__(self, rank: int) -> None:
            super().__init__()
            self.rank = rank

        def gather(self, value: str) -> list[str]:
            return ["another machine", value, value]

    for rank, number in ((1, 2), (2, 1)):
        other = tmp_path / str(rank)
        assert Verifier(other, digests, Rank(rank)).error(wait=True) is None
        [record] = (other / FOLDER).iterdir()
        assert len(record.read_text().splitlines()) == number
