"""`crawl2chat data stats`: documents, bytes and tokens of each language around the steps, against the texts."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from crawl2chat.core.manifest import Manifest, write_manifest
from crawl2chat.core.recipe import Recipe
from crawl2chat.core.run import Run
from crawl2chat.pipelines.extract_stage import EXTRACT, extract_unit
from crawl2chat.pipelines.reading import units
from crawl2chat.pipelines.stats import as_json, collect
from crawl2chat.pipelines.stats_tables import run_stats
from crawl2chat.pipelines.stats_tokens import estimate_tokens

KEPT = "The harbour had been quiet since the morning, and all the boats lay still at the quay of the old town. " * 6
GERMAN = "Dies ist ein deutscher Satz über den großen Hafen, und noch einer dazu, der gefallen wird."
SHORT = "The old man walked along the wall of the house – and then home."


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run with extract alone: one text is kept, one is in German, one is too short, one empty; one line is broken."""
    rows = [json.dumps({"text": text}, ensure_ascii=False) for text in (KEPT, GERMAN, SHORT, " ")]
    (tmp_path / "in.jsonl").write_text("\n".join([*rows, "{broken"]), encoding="utf-8")
    source = {"kind": "jsonl", "name": "s", "paths": [str(tmp_path / "in.jsonl")]}
    filters = dict.fromkeys(("gopher_repetition", "c4", "fineweb"))
    run = Run(Recipe.model_validate({"name": "r", "storage": str(tmp_path), "sources": [source], "filters": filters}))
    given = {"stage": "crawl", "version": 1, "fingerprint": "", "files": [], "code_version": "", "seconds": 0}
    empty: dict[str, dict[str, str]] = {name: {} for name in ("config", "inputs", "counters", "facts")}
    crawl = Manifest.model_validate({**given, **empty})
    [unit] = units(run.recipe, run.folder, crawl)
    report = extract_unit(unit, run.stage("extract"), EXTRACT.config(run.recipe))
    made = {**given, **empty, "stage": "extract", "files": report.files, "counters": report.counters}
    write_manifest(run.stage("extract"), Manifest.model_validate(made))
    return run


def test_documents_and_bytes_of_each_language_before_and_after_each_step(run: Run) -> None:
    found = as_json(collect(run))
    assert found["sources"] == {"s": {"records": 5, "dropped": {"read": 1, "extract": 1, "language": 1, "filter": 1}}}
    kept, german, short = (len(text.strip().encode()) for text in (KEPT, GERMAN, SHORT))
    steps = {row["lang"]: row["steps"] for row in found["languages"]}

    def counted(documents: int, size: int) -> dict[str, int]:
        return {"documents": documents, "bytes": size, "tokens_estimated": round(size / 4)}

    assert steps == {
        "de": {"before language": counted(1, german), "before filter": {}, "extract": {}},
        "en": {
            "before language": counted(2, kept + short),
            "before filter": counted(2, kept + short),
            "extract": counted(1, kept),
        },
    }


def test_tables_mark_tokens_as_estimated_before_there_are_shards(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_stats(run, json_only=False) == 0
    said = capsys.readouterr().out
    [row] = [line.split() for line in said.splitlines() if line.split()[:1] == ["extract"]][:1]
    size = len(KEPT.strip().encode())
    assert row == ["extract", "1", str(size), f"~{round(size / 4)}"]
    assert "~ estimated by 4 bytes to a token, no shards yet" in said


def test_the_ledger_has_language_and_size_where_there_was_a_text(run: Run) -> None:
    rows = pq.read_table(run.stage("extract") / "dropped").to_pylist()
    assert {row["reason"]: (row["lang"], row["bytes_text"]) for row in rows} == {
        "language": ("de", len(GERMAN.encode())),
        "gopher_short_doc": ("en", len(SHORT.encode())),
        "empty_text": (None, None),
        "bad_json": (None, None),
    }


def test_tokens_are_estimated_by_the_ratio_of_the_language_or_of_all() -> None:
    english = {"extract": Counter(bytes=300), "dedup": Counter(bytes=200), "train": Counter(tokens=50)}
    german = {"extract": Counter(bytes=90), "dedup": Counter(bytes=50), "train": Counter(tokens=25)}
    czech = {"extract": Counter(bytes=1000), "dedup": Counter(bytes=0), "train": Counter()}
    estimate_tokens([english, german, czech], ["extract", "dedup"], ["train"])
    assert [one["extract"]["tokens_estimated"] for one in (english, german, czech)] == [75, 45, 300]
    assert english["dedup"]["tokens_estimated"] == 50
