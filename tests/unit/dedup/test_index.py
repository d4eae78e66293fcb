"""What an index and a run must have in common, and how its rows are found, without Ray."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from crawl2chat.core.errors import ContractError
from crawl2chat.core.settings_data import Dedup
from crawl2chat.dedup.bands import EXACT, of_kind, partition_of
from crawl2chat.dedup.index import SEEN, check_index, grown, joined, look_up, parameters, part_file
from crawl2chat.dedup.index_build import fill, meet_rows
from crawl2chat.dedup.tables import read_arrow

GENERATOR = np.random.default_rng(8)
TERMS = ["length", "doc_id"]


def made(folder: Path, partitions: int, **others: Any) -> Path:
    index = {"parameters": parameters(Dedup(), TERMS) | others, "partitions": partitions, "runs": 1}
    folder.mkdir(exist_ok=True)
    (folder / "index.json").write_text(json.dumps(index))
    return folder


@pytest.mark.parametrize("name, value", [("unicode", "1.1.5"), ("exact", 0), ("format", 2), ("url", True)])
def test_an_index_of_other_tables_or_versions_is_refused(tmp_path: Path, name: str, value: object) -> None:
    check_index(made(tmp_path, 2), Dedup(), TERMS)
    now = parameters(Dedup(), TERMS)[name]
    with pytest.raises(ContractError) as caught:
        check_index(made(tmp_path, 2, **{name: value}), Dedup(), TERMS)
    assert f"was made with {name}={value!r}, the recipe has {name}={now!r}" in caught.value.message


def seen(count: int) -> dict[str, np.ndarray]:
    columns = {name: GENERATOR.integers(0, 1 << 62, count, dtype=np.uint64) for name in SEEN.names}
    columns["key"] = of_kind(columns["key"] % np.uint64(count // 2), EXACT)  # some twice
    return columns


def write(folder: Path, columns: dict[str, np.ndarray], partitions: int, old: Path | None) -> None:
    part = partition_of(columns["key"], partitions)
    for number in np.unique(part).tolist():
        rows = {name: values[part == number] for name, values in columns.items()}
        meet_rows(number, rows, folder / "seen", "seen", partitions, str(old) if old else None)
    fill(folder, "seen", partitions, old)


def test_rows_are_found_when_partitions_have_grown(tmp_path: Path) -> None:
    """Two partitions become six: each row lies where its key says, once, also where the run added nothing."""
    first, second = seen(3000), seen(4)
    write(made(tmp_path / "first", 2), first, 2, None)
    write(made(tmp_path / "second", 6), second, 6, tmp_path / "first")
    expected = {
        tuple(row) for side in (first, second) for row in zip(*(c.tolist() for c in side.values()), strict=True)
    }
    found = set()
    for number in range(6):
        table = read_arrow(part_file(tmp_path / "second", "seen", number))
        assert (partition_of(np.asarray(table["key"]), 6) == number).all()
        assert (np.diff(np.asarray(table["key"]).astype(np.int64)) >= 0).all()
        rows = [tuple(row.values()) for row in table.to_pylist()]
        assert len(rows) == len(set(rows)) and not found & set(rows)
        found |= set(rows)
    assert found == expected

    keys = np.concatenate([first["key"][:50], second["key"], of_kind(np.array([1 << 61], dtype=np.uint64), EXACT)])
    looked = {tuple(row.values()) for row in look_up(tmp_path / "second", keys).to_pylist()}
    assert looked == {row for row in expected if row[0] in set(keys.tolist())}
    assert look_up(tmp_path / "second", keys[:0]).num_rows == 0


def test_join_with_sorted_rows() -> None:
    old = np.sort(GENERATOR.integers(0, 300, 400, dtype=np.uint64))
    keys = GENERATOR.permutation(np.arange(310, dtype=np.uint64))
    at, rows = joined(pa.table({"key": old}), keys)
    assert sorted(zip(at.tolist(), rows.tolist(), strict=True)) == sorted(
        (one, row) for one, key in enumerate(keys.tolist()) for row, there in enumerate(old.tolist()) if key == there
    )


def test_partitions_double() -> None:
    assert [grown(3, needed) for needed in (1, 3, 4, 7, 13)] == [3, 3, 6, 12, 24]
