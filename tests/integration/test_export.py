"""`crawl2chat data export`: its files hold just the documents that no stage dropped, and nothing half-written."""

from __future__ import annotations

import gzip
import json

import pyarrow.parquet as pq
import pytest

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def test_export_holds_what_the_stages_left(finished) -> None:
    run, out = finished.folder / "runs" / "tiny", finished.folder / "exported"
    code, said = finished.run("data", "export", "--run", "runs/tiny", "--out", "exported", "--format", "jsonl")
    assert code == 0, said
    kept = {row["doc_id"] for row in pq.read_table(run / "extract" / "documents").to_pylist()}
    lost = {row["doc_id"] for row in pq.read_table(run / "dedup" / "dropped").to_pylist()}
    assert lost, "the run has duplicates, or this test shows nothing"
    files = [gzip.decompress(file.read_bytes()) for file in sorted(out.glob("*.jsonl.gz"))]
    rows = [json.loads(line) for file in files for line in file.splitlines()]
    assert {row["doc_id"] for row in rows} == kept - lost
    assert len(rows) == len(kept - lost)
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["seconds"] > 0, "measured, however long"
    assert manifest["counters"]["documents"] == len(rows)
    assert manifest["counters"]["bytes_text"] == sum(len(row["text"].encode()) for row in rows)

    again, said = finished.run("data", "export", "--run", "runs/tiny", "--out", "exported", "--format", "jsonl")
    assert again == 0, said
    for attempt in ("finished", "unfinished"):
        other, said = finished.run("data", "export", "--run", "runs/tiny", "--out", "exported")
        assert other == 2, attempt
        assert "another state" in said
        (out / "manifest.json").unlink(missing_ok=True)  # what a kill leaves must not be mixed with other files either


def test_export_refuses_a_folder_with_other_files(finished) -> None:
    (finished.folder / "mine").mkdir()
    (finished.folder / "mine" / "notes.txt").write_text("keep")
    code, said = finished.run("data", "export", "--run", "runs/tiny", "--out", "mine")
    assert code == 2
    assert "holds other files" in said
