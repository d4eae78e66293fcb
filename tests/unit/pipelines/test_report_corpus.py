"""What the report says of documents within its limits: some units for all, texts found again in bounded time."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from crawl2chat.core.manifest import Manifest, write_manifest
from crawl2chat.core.recipe import Recipe
from crawl2chat.core.run import Run
from crawl2chat.pipelines import report_corpus
from crawl2chat.pipelines.extract_stage import EXTRACT, extract_unit
from crawl2chat.pipelines.reading import units
from crawl2chat.pipelines.report_corpus import RunCorpus
from crawl2chat.pipelines.samples import reread
from crawl2chat.pipelines.stats import collect

KEPT = "The harbour had been quiet since the morning, and all the boats lay still at the quay of the old town. " * 6
SHORT = "The old man walked along the wall of the house number {}, and then he went home."
NAMES = ("a", "b", "c", "d")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Four sources of a unit each, with ten texts each that are kept and five that are too short."""
    sources = []
    for name in NAMES:
        texts = [f"{KEPT} {name} {at}" for at in range(10)] + [SHORT.format(at) for at in range(5)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        sources.append({"kind": "jsonl", "name": name, "paths": [str(tmp_path / f"{name}.jsonl")]})
    filters = dict.fromkeys(("gopher_repetition", "c4", "fineweb"))
    run = Run(Recipe.model_validate({"name": "r", "storage": str(tmp_path), "sources": sources, "filters": filters}))
    empty: dict[str, dict[str, str]] = {name: {} for name in ("config", "inputs", "counters", "facts")}
    given = {"version": 1, "fingerprint": "", "files": [], "code_version": "", "seconds": 0, **empty}
    crawl = Manifest.model_validate({**given, "stage": "crawl"})
    write_manifest(run.stage("crawl"), crawl)
    reports = [
        extract_unit(unit, run.stage("extract"), EXTRACT.config(run.recipe))
        for unit in units(run.recipe, run.folder, crawl)
    ]
    files = [entry for report in reports for entry in report.files]
    write_manifest(run.stage("extract"), Manifest.model_validate({**given, "stage": "extract", "files": files}))
    return run


def test_of_a_large_corpus_some_units_stand_for_all(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = [entry.bytes for entry in run.need("extract").files if entry.path.startswith("documents/")]
    whole, some = collect(run), collect(run, most_bytes=sum(sizes) * 6 // 10)
    assert whole.share == 1 and set(whole.records) == set(NAMES)
    assert set(some.records) == {"a", "c"} and some.share == pytest.approx(0.5, abs=0.02)
    monkeypatch.setattr(report_corpus, "MOST_BYTES", sum(sizes) * 6 // 10)
    amounts = RunCorpus().amounts(run)
    assert amounts.at("extract").documents == pytest.approx(40, abs=2)
    assert amounts.at("before filter").documents == pytest.approx(60, abs=3)
    assert amounts.at("extract").bytes == pytest.approx(
        sum(one["extract"]["bytes"] for one in whole.left.values()), rel=0.05
    )


def test_texts_are_sought_no_longer_than_is_allowed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow.parquet as pq

    rows = pq.read_table(run.stage("extract") / "dropped" / "a-00000.parquet").to_pylist()
    wanted = {row["doc_id"] for row in rows}
    assert len(wanted) == 5
    found = RunCorpus().origin_texts(run, "a-00000", wanted)
    assert {one["text"] for one in found.values()} == {SHORT.format(at) for at in range(5)}
    assert reread(run, "a-00000", wanted, seconds=-1) == {}, "the first record is read, and no other"
    monkeypatch.setattr(report_corpus, "ALL_SECONDS", 0.0)
    began = time.monotonic()
    assert RunCorpus().origin_texts(run, "a-00000", wanted) == {} and time.monotonic() - began < 1
