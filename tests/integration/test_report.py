"""The report of a whole run: written by the run itself, with the numbers of its manifests; also of one that fails."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .conftest import Workshop

pytestmark = [pytest.mark.ray, pytest.mark.slow]
SECTIONS = ["documents", "reasons", "duplicates", "languages", "tokenizer"]
SECTIONS += ["pretrain", "finetune", "align", "samples", "making"]


@pytest.fixture(scope="module")
def report(finished: Workshop) -> Path:
    return finished.folder / "runs/tiny/report.html"


def counters(folder: Path, stage: str) -> dict[str, Any]:
    return json.loads((folder / stage / "manifest.json").read_text())["counters"]


def test_a_run_ends_with_its_report(finished: Workshop, report: Path) -> None:
    assert f"report: {report.resolve()}" in (finished.folder / "first_output.txt").read_text()
    text = (finished.folder / "first_report.html").read_text("utf-8")
    assert '<span class="pill">finished</span>' in text
    assert re.findall(r'<section id="([^"]*)"', text) == SECTIONS
    assert "no report in" not in (report.parent / "logs" / "crawl2chat.log").read_text()


def test_its_numbers_are_those_of_the_manifests(finished: Workshop, report: Path) -> None:
    code, output = finished.run("report", "--run", "runs/tiny", "--json")
    assert code == 0, output
    found, run = json.loads(output), report.parent
    steps = {step["name"]: step for step in found["flow"]["steps"]}
    extract, dedup, shards = (counters(run, stage) for stage in ("extract", "dedup", "shards"))
    assert steps["records"]["documents"] == extract["documents_in"]
    assert steps["dedup"]["documents"] == dedup["documents"] and steps["dedup"]["left"] == dedup["dropped"]
    assert steps["shards"]["tokens"] == shards["tokens_train"] + shards["tokens_validation"]
    ledger = {f"dropped.{one['reason']}": one["count"] for step in steps.values() for one in step["reasons"]}
    assert ledger == {key: n for key, n in (extract | dedup).items() if key.startswith("dropped.") and n}
    [copies] = [one for one in steps["dedup"]["reasons"] if one["reason"] == "minhash_duplicate"]
    assert all(sample["text"] for sample in copies["samples"]), "which are stored; others are sought for some seconds"
    pretrain, finetune, align = found["trainings"]
    assert pretrain["counters"] == counters(run, "pretrain")
    assert {mark["kind"] for mark in pretrain["marks"]} == {"checkpoint"}
    assert [mark["step"] for mark in pretrain["marks"]] == [20, 40, 60]
    assert {row["step"] for row in pretrain["samples"]} == {30, 60} and all(row["text"] for row in pretrain["samples"])
    assert finetune["checks"][0]["validation_loss"] == counters(run, "finetune")["validation_loss_before"]
    assert align["counters"] == counters(run, "align")


def test_a_run_that_fails_says_so_on_its_page(finished: Workshop) -> None:
    gates = ["dedup.gates.max_removed=0.001", "dedup.gates.min_documents=1"]
    settings = [word for one in ("name=failing", *gates) for word in ("--set", one)]
    code, output = finished.run("data", "recipes/tiny.yaml", *settings)
    assert code == 1, output
    text = (finished.folder / "runs/failing/report.html").read_text("utf-8")
    assert '<span class="pill">failed</span>' in text and "dedup.gates.max_removed=0.001" in text
    assert 'id="documents"' in text and 'id="pretrain"' not in text
