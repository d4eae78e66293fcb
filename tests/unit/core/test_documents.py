"""Documents left after a stage are those that stand in no ledger."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from crawl2chat.core.documents import extracted_units, kept_batches
from crawl2chat.core.manifest import FileEntry, Manifest
from crawl2chat.core.schema import CUTS, DOCUMENT, DROPPED, doc_id


def write_unit(folder: Path, unit: str, ids: list[str]) -> None:
    (folder / "documents").mkdir(parents=True, exist_ok=True)
    rows = [
        {name: i if name == "doc_id" else ("t" + i if name == "text" else "") for name in DOCUMENT.names} for i in ids
    ]
    for row in rows:
        row.update(lang_score=1.0, origin_offset=0)
    pq.write_table(pa.Table.from_pylist(rows, schema=DOCUMENT), folder / "documents" / f"{unit}.parquet")


def write_ledger(folder: Path, unit: str, ids: list[str]) -> Path:
    (folder / "dropped").mkdir(parents=True, exist_ok=True)
    rows = [dict.fromkeys(DROPPED.names, "") | {"doc_id": i, "value": None, "origin_offset": 0} for i in ids]
    pq.write_table(pa.Table.from_pylist(rows, schema=DROPPED), folder / "dropped" / f"{unit}.parquet")
    return folder


def test_ledgers_are_subtracted_by_doc_id(tmp_path: Path) -> None:
    extract = tmp_path / "extract"
    write_unit(extract, "web-00000", ["a", "b", "c", "d"])
    write_unit(extract, "web-00001", ["e"])
    first = write_ledger(tmp_path / "one", "web-00000", ["b"])
    second = write_ledger(tmp_path / "two", "web-00000", ["d", "zz"])

    def texts(*ledgers: Path) -> list[str]:
        batches = kept_batches("web-00000", extract, ledgers, columns=["text"])
        return [text for batch in batches for text in batch["text"].to_pylist()]

    assert texts() == ["ta", "tb", "tc", "td"]
    assert texts(first) == ["ta", "tc", "td"]
    assert texts(first, second) == ["ta", "tc"]
    batch = next(kept_batches("web-00000", extract, [first]))
    assert batch.schema.names == DOCUMENT.names


def test_a_batch_holds_rows_of_one_group_only(tmp_path: Path) -> None:
    """Groups are bounded in bytes, batches in rows only: across groups a batch of books would have no bound."""
    extract, ids = tmp_path / "extract", ["a", "b", "c", "d", "e"]
    write_unit(extract, "books-00000", ids)
    path = extract / "documents" / "books-00000.parquet"
    pq.write_table(pq.read_table(path), path, row_group_size=2)
    found = [batch["doc_id"].to_pylist() for batch in kept_batches("books-00000", extract)]
    assert found == [["a", "b"], ["c", "d"], ["e"]]


def write_cuts(folder: Path, unit: str, spans: dict[str, list[tuple[int, int]]]) -> Path:
    write_ledger(folder, unit, [])
    (folder / "cuts").mkdir(parents=True, exist_ok=True)
    rows = [{"doc_id": i, "spans": [{"start": a, "stop": b} for a, b in found]} for i, found in spans.items()]
    pq.write_table(pa.Table.from_pylist(rows, schema=CUTS), folder / "cuts" / f"{unit}.parquet")
    return folder


def test_cuts_of_all_stages_are_applied_to_the_extracted_text(tmp_path: Path) -> None:
    extract, unit = tmp_path / "extract", "web-00000"
    write_unit(extract, unit, ["-one\ntwo\nthree\nfour", "-five", "-six"])
    first = write_cuts(tmp_path / "one", unit, {"-one\ntwo\nthree\nfour": [(6, 10)]})
    second = write_cuts(tmp_path / "two", unit, {"-one\ntwo\nthree\nfour": [(10, 16)], "-five": [(0, 2)]})
    third = write_ledger(tmp_path / "three", unit, ["-six"])

    def texts(*stages: Path, columns: list[str]) -> list[str]:
        return [text for batch in kept_batches(unit, extract, stages, columns) for text in batch["text"].to_pylist()]

    assert texts(first, columns=["text"]) == ["t-one\nthree\nfour", "t-five", "t-six"]
    assert texts(first, second, columns=["doc_id", "text"]) == ["t-one\nfour", "five", "t-six"]
    assert texts(second, first, third, columns=["text", "doc_id"]) == ["t-one\nfour", "five"]
    assert next(kept_batches(unit, extract, [first, second])).schema.equals(DOCUMENT)


def test_units_are_those_of_the_manifest_not_of_the_folder() -> None:
    listed = ["documents/web-00001.parquet", "dropped/web-00000.parquet", "documents/web-00000.parquet"]
    manifest = Manifest(
        stage="extract",
        version=1,
        config={},
        fingerprint="",
        inputs={},
        files=[FileEntry(path=path, rows=0, bytes=0, sha256="") for path in listed],
        counters={},
        facts={},
        code_version="",
        seconds=0,
    )
    assert [unit.name for unit in extracted_units(manifest)] == ["web-00000", "web-00001"]


def test_doc_id_is_fixed_for_ever() -> None:
    # a change of these values breaks every join with data made before
    assert doc_id("web", "http://example.org/") == "4cf1e7469d8e7ac9452ce121a453ddb7"
    assert doc_id("web", "x") != doc_id("we", "bx")
