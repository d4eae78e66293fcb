"""Scores, word lists and masks in a run: from a trained classifier to documents with a column of scores, and on."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from crawl2chat.cli import main
from crawl2chat.core.documents import kept_batches
from crawl2chat.core.errors import ContractError, InputError
from crawl2chat.core.recipe import load_recipe
from crawl2chat.core.run import Run
from crawl2chat.core.runner import bring_up_to_date
from crawl2chat.core.schema import document_schema
from crawl2chat.core.stage import plan
from crawl2chat.pipelines.execute import execute
from crawl2chat.pipelines.stages import group_stages

pytestmark = [pytest.mark.ray, pytest.mark.slow]

FILTERS = {"gopher_repetition": None, "gopher_quality": None, "c4": None, "fineweb": None}


def prose(number: int) -> str:
    return "\n".join(
        f"In the year {number + at} the people of the town number {number * 7 + at} had built a wall, and it was good."
        for at in range(8)
    )


def menu(number: int) -> str:
    return "\n".join(f"Buy item {number * at}\nthe next page and more" for at in range(8))


def test_a_run_with_a_classifier(local_ray: None, tmp_path: Path) -> None:
    for name, make in (("good", prose), ("raw", menu)):
        rows = [json.dumps({"text": make(n)}) for n in range(100, 300)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(rows))
    model = tmp_path / "quality.bin"
    sides = ["--positive", f"{tmp_path}/good.jsonl", "--negative", f"{tmp_path}/raw.jsonl"]
    assert main(["data", "train-classifier", *sides, "--out", str(model)]) == 0

    pages = [*(prose(n) for n in range(20)), *(menu(n) for n in range(20)), f"{prose(50)}\nWrite to joe@example.com."]
    (tmp_path / "pages.jsonl").write_text("\n".join(json.dumps({"text": page}) for page in pages))
    recipe = {
        "name": "r",
        "storage": str(tmp_path),
        "sources": [{"kind": "jsonl", "name": "web", "paths": [str(tmp_path / "pages.jsonl")]}],
        "language": {"keep": [], "threshold": 0},
        "filters": FILTERS,
        "classifiers": [{"name": "quality", "model": str(model), "threshold": 0.5}],
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    run = Run(load_recipe(path))
    stages = group_stages(run.recipe, "data")
    assert [item.stage.name for item, _ in bring_up_to_date(stages, run, nullcontext)] == ["crawl", "extract", "dedup"]
    counters = run.need("extract").counters
    assert (counters["documents"], counters["dropped.classifier_quality"], counters["pii.email"]) == (21, 20, 1)
    table = pq.read_table(run.stage("extract") / "documents" / "web-00000.parquet")
    assert table.column_names == document_schema(["quality"]).names
    assert min(table["score_quality"].to_pylist()) >= 0.5
    assert sum("[EMAIL]" in text for text in table["text"].to_pylist()) == 1
    ledger = pq.read_table(run.stage("extract") / "dropped" / "web-00000.parquet").to_pylist()
    assert {row["reason"] for row in ledger} == {"classifier_quality"}
    assert max(row["value"] for row in ledger) < 0.5
    left = kept_batches("web-00000", run.stage("extract"), [run.stage("dedup")], ["doc_id", "score_quality"])
    assert sum(batch.num_rows for batch in left) == run.need("dedup").counters["documents"]

    assert not any(item.todo for item in plan(stages, run))
    model.write_bytes(model.read_bytes() + b"\0")  # another model under the same name
    assert [item.stage.name for item in plan(stages, run) if item.todo] == ["extract", "dedup"]
    with pytest.raises(ContractError, match="SHA-256"):  # which its report does not describe
        execute(run, stages)
    model.unlink()
    with pytest.raises(InputError, match="no classifier at"):
        execute(run, stages)
