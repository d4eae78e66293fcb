"""Common Crawl through the stage `extract` on Ray: whole files and a selection, a server that gives up in between."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from crawl2chat.core.errors import StageError
from crawl2chat.core.manifest import Manifest, write_manifest
from crawl2chat.core.progress import Progress
from crawl2chat.core.recipe import Recipe
from crawl2chat.core.run import Run
from crawl2chat.core.stage import StageContext, StageResult
from crawl2chat.pipelines.extract_stage import EXTRACT

pytestmark = [pytest.mark.ray, pytest.mark.slow]

RATE = 20.0
ACCESS = {"retry_wait": 0.01, "retries": 1}
SOURCE = {"kind": "common_crawl", "crawl": "CC-MAIN-2024-10", "access": ACCESS}


def make_run(folder: Path, name: str, sources: list[dict[str, Any]]) -> Run:
    filters = dict.fromkeys(("gopher_repetition", "gopher_quality", "c4", "fineweb"))
    settings = {"name": name, "storage": str(folder), "sources": sources, "filters": filters}
    run = Run(Recipe.model_validate({**settings, "language": {"keep": [], "threshold": 0}}))
    nothing: dict[str, Any] = {key: {} for key in ("config", "inputs", "counters", "facts")}
    run.stage("crawl").mkdir(parents=True)
    stands = {"stage": "crawl", "version": 1, "fingerprint": "", "files": [], "code_version": "", "seconds": 0}
    write_manifest(run.stage("crawl"), Manifest(**stands, **nothing))
    return run


def extract(run: Run) -> StageResult:
    with Progress("extract") as progress:
        return EXTRACT.work(StageContext(run, run.stage("extract"), {"crawl": run.need("crawl")}, progress))


def kept(run: Run) -> list[dict[str, Any]]:
    files = sorted((run.stage("extract") / "documents").glob("*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def test_files_and_selection_give_the_same_documents_and_a_failed_run_continues(
    local_ray: None, tmp_path: Path, crawl_mirror: Any
) -> None:
    source = {**SOURCE, "name": "cc", "mirror": crawl_mirror.url}
    whole = make_run(tmp_path, "whole", [{**source, "files": [0, 3]}])
    import mirror_server

    crawl_mirror.faults.append(mirror_server.Fault(where="resiliparse-warcfile", status=503, times=2))
    with pytest.raises(StageError, match="resiliparse-warcfile.*503"):
        extract(whole)
    crawl_mirror.requests.clear()
    result = extract(whole)
    assert "resiliparse-warcfile.warc.gz" in {request.path.rpartition("/")[2] for request in crawl_mirror.requests}
    counters = result.counters
    assert counters["documents_in"] == counters["documents"] + counters["dropped"] > 50

    access = {**ACCESS, "requests_per_second": RATE, "gap_bytes": 0}
    select = {"mimes": [], "status": [], "records_per_unit": 20}
    chosen = make_run(tmp_path, "chosen", [{**source, "files": [0, 3], "select": select, "access": access}])
    crawl_mirror.requests.clear()
    selected = extract(chosen)
    assert selected.counters["documents_in"] == counters["documents_in"]
    assert len([entry for entry in selected.files if entry.path.startswith("selection/cc/")]) == 2
    assert sorted(kept(chosen), key=lambda row: row["doc_id"]) == sorted(kept(whole), key=lambda row: row["doc_id"])

    times = sorted(request.at for request in crawl_mirror.requests if "/warc/CC-MAIN" not in request.path)
    assert len(times) > 20
    whole_seconds = range(int(RATE), len(times), int(RATE))
    assert all(times[at] - times[at - int(RATE)] > 0.8 for at in whole_seconds), "all workers together keep to the rate"
