"""Ids as numbers and back, files that map."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from crawl2chat.core.errors import ContractError
from crawl2chat.core.schema import doc_id
from crawl2chat.core.units import Unit
from crawl2chat.dedup import tables
from crawl2chat.dedup.tables import (
    EDGE,
    join_ids,
    numbers,
    only_parts,
    part_files,
    read_arrow,
    read_range,
    read_ranges,
    split_ids,
    write_arrow,
    write_ranges,
)


def test_ids_survive_and_keep_their_order() -> None:
    ids = sorted(doc_id("s", str(number)) for number in range(500))
    high, low = split_ids(ids)
    assert join_ids(high, low) == ids
    assert (np.diff(high.astype(object)) > 0).all()
    assert split_ids([])[0].shape == (0,)


@pytest.mark.parametrize("wrong", ["", "abc", "g" * 32, "00 " * 10 + "00", "é" * 32])
def test_other_ids_are_refused(wrong: str) -> None:
    with pytest.raises(ContractError, match="is not 32 hex digits"):
        split_ids([doc_id("s", "1"), wrong])


def test_empty_and_many_chunks_become_one_batch(tmp_path: Path) -> None:
    rows = pa.Table.from_pylist([{"left": 1, "right": 2, "key": 3}], schema=EDGE)
    write_arrow(tmp_path / "e.arrow", pa.concat_tables([rows, rows, rows]))
    write_arrow(tmp_path / "n.arrow", EDGE.empty_table())
    assert len(read_arrow(tmp_path / "e.arrow")["left"].chunks) == 1
    assert numbers(read_arrow(tmp_path / "n.arrow")["left"]).dtype == np.uint64


def test_parts_of_another_layout_are_removed(tmp_path: Path) -> None:
    (tmp_path / "units").mkdir()
    for number in range(4):
        (tmp_path / f"part-{number:05d}.arrow").write_bytes(b"")
    only_parts(tmp_path, [Unit(name="part-00000"), Unit(name="part-00001")])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["part-00000.arrow", "part-00001.arrow", "units"]
    only_parts(tmp_path / "none", [])


def test_parts_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    """What reads partition n takes the n-th file: with a hundred thousand of them names are in another order."""
    numbers_of_parts = [*range(10_001, 10_004), 99_999, 100_000, 100_001]
    for number in numbers_of_parts:
        (tmp_path / f"part-{number:05d}.arrow").touch()
    (tmp_path / "part-00000.json").touch()
    assert [int(path.stem[5:]) for path in part_files(tmp_path)] == numbers_of_parts
    assert part_files(tmp_path / "none") == []


def in_ranges(path: Path, partition: np.ndarray, partitions: int) -> None:
    """A file of EDGE whose keys are its partitions."""
    columns = {"left": np.arange(len(partition)), "right": partition * 2, "key": partition}
    write_ranges(path, partition, partitions)
    write_arrow(path, pa.Table.from_pydict(columns, schema=EDGE))


def test_of_a_million_ranges_two_numbers_are_read(tmp_path: Path) -> None:
    """A task reads a range of every unit's file: with the whole of the ranges it would read as much as all tasks."""
    in_ranges(tmp_path / "e.arrow", np.array([3, 700_000, 700_000, 999_999], dtype=np.uint64), 1_000_000)
    tracemalloc.start()
    found = read_range(tmp_path / "e.arrow", 700_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found["left"].to_pylist() == [1, 2] and read_range(tmp_path / "e.arrow", 4).num_rows == 0
    assert peak < 1 << 20, f"{peak} bytes for two numbers of 8 MB"


@pytest.mark.parametrize(("most", "maps"), [(100, True), (3, False)])
def test_ranges_of_more_files_than_can_be_mapped_are_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, maps: bool
) -> None:
    monkeypatch.setattr(tables, "MAPPED", most)
    paths = [tmp_path / f"u-{number}.arrow" for number in range(4)]
    for number, path in enumerate(paths):
        in_ranges(path, np.array([0, 1, 1, 2], dtype=np.uint64)[: number + 1], 3)
    found = read_ranges(paths, 1)
    assert [table["left"].to_pylist() for table in found] == [[], [1], [1, 2], [1, 2]]
    assert (mapped(tmp_path) > 0) == maps


def mapped(folder: Path) -> int:
    """Files of the folder that this process maps now."""
    return sum(str(folder) in line for line in Path("/proc/self/maps").read_text().splitlines())
