"""The stage `extract` on Ray: real and broken files of every kind, continued after a kill."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from crawl2chat.core.documents import kept_batches
from crawl2chat.core.manifest import Manifest, write_manifest
from crawl2chat.core.progress import Progress
from crawl2chat.core.recipe import Recipe
from crawl2chat.core.run import Run
from crawl2chat.core.stage import StageContext, StageResult
from crawl2chat.pipelines.extract_stage import EXTRACT

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def make_run(tmp_path: Path, sources: list[dict[str, Any]]) -> Run:
    filters = {"gopher_quality": {"max_non_alpha_words_ratio": 0.5}, "fineweb": None, "c4": None}
    settings = {"name": "r", "storage": str(tmp_path), "sources": sources, "filters": filters}
    run = Run(Recipe.model_validate({**settings, "language": {"keep": [], "threshold": 0}}))
    empty = Manifest(
        stage="crawl",
        version=1,
        config={},
        fingerprint="",
        inputs={},
        files=[],
        counters={},
        facts={},
        code_version="",
        seconds=0,
    )
    run.stage("crawl").mkdir(parents=True)
    write_manifest(run.stage("crawl"), empty)
    return run


def extract(run: Run) -> StageResult:
    folder = run.stage("extract")
    with Progress("extract") as progress:
        return EXTRACT.work(StageContext(run, folder, {"crawl": run.need("crawl")}, progress))


def test_every_sample_goes_through_and_a_killed_stage_continues(
    local_ray: None, tmp_path: Path, shared_data: Path
) -> None:
    inputs = tmp_path / "in"
    inputs.mkdir()
    for name in ("dolma-sample-0001.warc.gz", "warcio-example-trunc.warc", "warcio-example.arc.gz",
                 "warcio-example-iana.org-chunked.warc", "ukwa-iah-urls-wget.warc.gz"):  # fmt: skip
        shutil.copy(shared_data / "warc-samples" / name, inputs)
    whole = (inputs / "dolma-sample-0001.warc.gz").read_bytes()
    (inputs / "cut.warc.gz").write_bytes(whole[: len(whole) * 2 // 3])
    sources = [
        {"kind": "warc", "name": "web", "paths": [f"{inputs}/*"]},
        {"kind": "wikipedia", "name": "wiki", "paths": [str(shared_data / "wikipedia-dump-sample" / "bgwiki*.bz2")]},
        {"kind": "jsonl", "name": "rows", "paths": [str(shared_data / "web-text-samples" / "dolma_cc_en*.jsonl.gz")]},
    ]
    run = make_run(tmp_path, sources)
    result = extract(run)
    counters = result.counters
    assert counters["documents_in"] == counters["documents"] + counters["dropped"]
    assert counters["dropped.truncated_gzip"] == 1
    assert counters["dropped.bad_length"] == 1
    assert counters["records.filedesc"] == 1
    assert counters["dropped.not_article"] == 2
    assert counters["records.request"] > 20
    per_source = result.facts["sources"]
    assert per_source["rows"]["documents_in"] == 20
    assert sum(source["documents"] for source in per_source.values()) == counters["documents"]

    folder = run.stage("extract")
    names = [path.stem for path in sorted((folder / "documents").glob("*.parquet"))]
    rows = sum(batch.num_rows for unit in names for batch in kept_batches(unit, folder))
    assert rows == counters["documents"]
    lost = [row for path in (folder / "dropped").glob("web*.parquet") for row in pq.read_table(path).to_pylist()]
    cut = next(row for row in lost if row["reason"] == "truncated_gzip")
    assert cut["origin_file"] == f"{inputs}/cut.warc.gz"
    assert 0 < cut["origin_offset"] < len(whole) * 2 // 3

    for record in ("web-00001", "wiki-00002", "rows-00000"):  # as if the stage had been killed before these ended
        (folder / "units" / f"{record}.json").unlink()
        (folder / "documents" / f"{record}.parquet").unlink()
    (folder / "dropped" / "web-00001.parquet").write_bytes(b"half written")
    again = extract(run)
    assert sorted(again.files, key=lambda entry: entry.path) == sorted(result.files, key=lambda entry: entry.path)
    assert again.counters == counters
