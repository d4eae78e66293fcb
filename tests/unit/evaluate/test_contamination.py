"""Flags from the ledger: rows are those of the task's file, wherever it stands in its set."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crawl2chat.core.manifest import Manifest, write_manifest
from crawl2chat.core.recipe import Recipe
from crawl2chat.core.run import Run
from crawl2chat.core.settings_cleaning import EvalSet
from crawl2chat.evaluate.contamination import contaminated_rows, flags_of
from crawl2chat.pipelines.decontaminate_units import CONTAMINATED_ITEM


def ledger(folder: Path, *found: tuple[str, int]) -> Path:
    rows = [{"set": name, "item": item, "documents": 1} for name, item in found]
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist(rows, schema=CONTAMINATED_ITEM), folder / "items.parquet")
    return folder


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Files of 3, 4, 2 and 5 rows, one of each kind that a set may have."""
    rows = [json.dumps({"goal": str(number)}) + "\n" for number in range(5)]
    text, table = tmp_path / "a.txt", tmp_path / "b.parquet"
    text.write_text("one\n\n two\n\nthree\n")
    pq.write_table(pa.table({"goal": ["a", "b", "c", "d"]}), table)
    zipped, plain = tmp_path / "c.jsonl.gz", tmp_path / "d.jsonl"
    zipped.write_bytes(gzip.compress("".join(rows[:2]).encode()))
    plain.write_text("".join(rows))
    return {"text": text, "table": table, "zipped": zipped, "plain": plain}


def test_rows_count_from_the_files_beginning(files: dict[str, Path], tmp_path: Path) -> None:
    """In a set of all four, the fifth row of the last file is number 13."""
    sets = [EvalSet(name="s", paths=[str(path) for path in files.values()], fields=["goal"])]
    found = ledger(tmp_path / "ledger", ("s", 2), ("s", 3), ("s", 7), ("s", 8), ("s", 9), ("s", 13), ("other", 10))
    assert contaminated_rows(found, sets, files["text"]) == {2}
    assert contaminated_rows(found, sets, files["table"]) == {0}
    assert contaminated_rows(found, sets, files["zipped"]) == {0, 1}
    assert contaminated_rows(found, sets, files["plain"]) == {0, 4}


def test_a_pattern_counts_its_files_by_name(files: dict[str, Path], tmp_path: Path) -> None:
    sets = [EvalSet(name="s", paths=[str(tmp_path / "*.jsonl*")], fields=["goal"])]
    assert contaminated_rows(ledger(tmp_path / "ledger", ("s", 0), ("s", 2)), sets, files["plain"]) == {0}


def test_what_nobody_looked_for_has_no_flags(files: dict[str, Path], tmp_path: Path) -> None:
    found = ledger(tmp_path / "ledger", ("s", 0))
    sets = [EvalSet(name="s", paths=[str(files["text"])])]
    assert contaminated_rows(found, sets, files["plain"]) is None
    elsewhere = EvalSet(name="s", paths=["s3://bucket/x.jsonl", str(files["plain"])], fields=["goal"])
    assert contaminated_rows(found, [elsewhere], files["plain"]) is None
    assert contaminated_rows(found, sets, files["text"]) == {0}


def test_a_runs_ledger_counts_where_it_has_one(files: dict[str, Path], tmp_path: Path) -> None:
    """And is finished; without a run, nobody looked."""
    found = {"name": "p", "paths": [str(files["plain"])], "fields": ["goal"]}
    sources = [{"kind": "jsonl", "name": "web", "paths": ["x.jsonl"]}]
    given = {"name": "r", "storage": str(tmp_path), "sources": sources}
    run = Run(Recipe.model_validate(given | {"decontaminate": {"sets": [found]}}))
    assert flags_of(None)(files["plain"]) is None and flags_of(run)(files["plain"]) is None
    run.folder.mkdir()
    ledger(run.stage("decontaminate"), ("p", 1), ("p", 3))
    assert flags_of(run)(files["plain"]) is None, "it is not finished"
    manifest = Manifest(
        stage="decontaminate", version=1, config={}, fingerprint="", inputs={}, files=[], counters={}, facts={},
        code_version="", seconds=0,
    )  # fmt: skip
    write_manifest(run.stage("decontaminate"), manifest)
    assert flags_of(run)(files["plain"]) == {1, 3} and flags_of(run)(files["text"]) is None
    assert flags_of(Run(Recipe.model_validate(given)))(files["plain"]) is None, "its recipe looks for nothing"
