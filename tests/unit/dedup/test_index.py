"""What an index and a run must have in common, and how its rows are found, without Ray."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from crawl2chat.core.errors import ContractError, InputError
from crawl2chat.core.files import sha256_file
from crawl2chat.core.manifest import FileEntry
from crawl2chat.core.settings_data import Dedup
from crawl2chat.dedup.bands import EXACT, of_kind, partition_of
from crawl2chat.dedup.index import SEEN, check_index, grown, joined, look_up, parameters, part_file, read_files
from crawl2chat.dedup.index_build import list_units, meet_rows
from crawl2chat.dedup.index_carry import carry_unit, carry_units, finish
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


def write(stage: Path, columns: dict[str, np.ndarray], partitions: int, old: Path | None) -> list[FileEntry]:
    """The wiring of the last pass without Ray: an index with these rows as `seen`, and the entries of its files."""
    runs = 0 if old is None else 1
    part, index = partition_of(columns["key"], partitions), str(old) if old else None
    written: dict[str, set[int]] = {"keys": set(), "seen": set(np.unique(part).tolist())}
    entries = [list_units(stage, runs, ["web-00000"])]
    for number in sorted(written["seen"]):
        rows = {name: values[part == number] for name, values in columns.items()}
        report = meet_rows(number, rows, stage / "index" / "seen", "seen", partitions, index)
        entries.append(FileEntry.model_validate(report["file"]))
    for unit in carry_units(old, partitions, written):
        entries += carry_unit(unit, stage, {"index": index, "partitions": partitions}).files
    made = {"parameters": parameters(Dedup(), TERMS), "partitions": partitions, "runs": runs + 1}
    return finish(stage, made, entries)


def test_rows_are_found_when_partitions_have_grown(tmp_path: Path) -> None:
    """Two partitions become six: each row lies where its key says, once, also where the run added nothing."""
    first, second = seen(3000), seen(4)
    write(tmp_path / "first", first, 2, None)
    write(tmp_path / "second", second, 6, tmp_path / "first" / "index")
    index = tmp_path / "second" / "index"
    expected = {
        tuple(row) for side in (first, second) for row in zip(*(c.tolist() for c in side.values()), strict=True)
    }
    found = set()
    for number in range(6):
        table = read_arrow(part_file(index, "seen", number))
        assert (partition_of(np.asarray(table["key"]), 6) == number).all()
        assert (np.diff(np.asarray(table["key"]).astype(np.int64)) >= 0).all()
        rows = [tuple(row.values()) for row in table.to_pylist()]
        assert len(rows) == len(set(rows)) and not found & set(rows)
        found |= set(rows)
    assert found == expected

    keys = np.concatenate([first["key"][:50], second["key"], of_kind(np.array([1 << 61], dtype=np.uint64), EXACT)])
    looked = {tuple(row.values()) for row in look_up(index, keys).to_pylist()}
    assert looked == {row for row in expected if row[0] in set(keys.tolist())}
    assert look_up(index, keys[:0]).num_rows == 0


def files_of(stage: Path) -> dict[str, tuple[int, str]]:
    """What lies in the index in truth: {path: (bytes, sha256)}."""
    paths = [path for path in (stage / "index").rglob("*") if path.is_file()]
    return {path.relative_to(stage).as_posix(): (path.stat().st_size, sha256_file(path)) for path in paths}


def test_entries_of_files_are_true_and_carried_over_for_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of files that only get a second name none is hashed again; of all others each is, where it is written."""
    rows = seen(400)
    entries = write(tmp_path / "first", rows, 64, None)
    assert {entry.path: (entry.bytes, entry.sha256) for entry in entries} == files_of(tmp_path / "first")
    assert sum(entry.rows for entry in entries if entry.path.startswith("index/seen/")) == 400
    old = tmp_path / "first" / "index"

    hashed: list[Path] = []
    monkeypatch.setattr(
        "crawl2chat.core.manifest.sha256_file", lambda path: (hashed.append(path), sha256_file(path))[1]
    )
    added = write(tmp_path / "second", seen(2), 64, old)
    names = {path.relative_to(tmp_path / "second").as_posix() for path in hashed}
    seen_anew = [name for name in names if name.startswith("index/seen/")]
    own = {"index/index.json", "index/files.json", "index/sketches/001/units.npy"}
    assert 1 <= len(seen_anew) <= 2 and names == {*seen_anew, *own}
    assert {entry.path: (entry.bytes, entry.sha256) for entry in added} == files_of(tmp_path / "second")
    listed = {f"index/{entry.path}" for entry in read_files(tmp_path / "second" / "index")}
    assert listed == files_of(tmp_path / "second").keys() - {"index/index.json", "index/files.json"}
    digests = [
        json.loads((tmp_path / one / "index" / "index.json").read_text())["digest"] for one in ("first", "second")
    ]
    assert digests[0] != digests[1]


def test_a_file_of_the_old_index_that_was_cut_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "first", seen(400), 4, None)
    units = tmp_path / "first" / "index" / "sketches" / "000" / "units.npy"
    units.write_bytes(units.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"units.npy has 1\d\d bytes, of 1\d\d by .*files.json"):
        write(tmp_path / "second", seen(4), 4, tmp_path / "first" / "index")


def test_an_index_without_its_list_of_files_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "first", seen(40), 2, None)
    (tmp_path / "first" / "index" / "files.json").unlink()
    with pytest.raises(InputError, match=r"has lost its files.json"):
        carry_units(tmp_path / "first" / "index", 2, {"keys": set(), "seen": set()})


def test_join_with_sorted_rows() -> None:
    old = np.sort(GENERATOR.integers(0, 300, 400, dtype=np.uint64))
    keys = GENERATOR.permutation(np.arange(310, dtype=np.uint64))
    at, rows = joined(pa.table({"key": old}), keys)
    assert sorted(zip(at.tolist(), rows.tolist(), strict=True)) == sorted(
        (one, row) for one, key in enumerate(keys.tolist()) for row, there in enumerate(old.tolist()) if key == there
    )


def test_partitions_double() -> None:
    assert [grown(3, needed) for needed in (1, 3, 4, 7, 13)] == [3, 3, 6, 12, 24]
