"""Repeated spans on Ray: one copy stays, paragraphs cut what is left, and kills in every pass give the same bytes."""

from __future__ import annotations

import json
import random
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from crawl2chat.core.documents import extracted_units, kept_batches, ledger_stages
from crawl2chat.core.manifest import FILE_NAME, Manifest
from crawl2chat.core.recipe import Recipe
from crawl2chat.core.run import Run
from crawl2chat.core.runner import bring_up_to_date
from crawl2chat.core.stage import plan
from crawl2chat.pipelines.stages import GROUPS, all_stages

pytestmark = [pytest.mark.ray, pytest.mark.slow]
NOTICE = "All rights reserved by the owners of these pages."


def text_of(number: int) -> str:
    """A page of 120 words of its own; pages 3, 6, 9 … hold 60 words of page 0, in capitals and with other marks."""
    dice = random.Random(number)
    own = " ".join(f"word{dice.randrange(10**6)}" for _ in range(120))
    first = random.Random(0)
    borrowed = " ".join(f"WORD{first.randrange(10**6)}," for _ in range(60))
    page = f"{own[:400]}.\n\n{borrowed}\n\n{own[400:]}" if number and number % 3 == 0 else own
    return f"{page}\n\n{NOTICE}"


def run_of(folder: Path, name: str, files: list[list[int]], **spans: Any) -> Run:
    """A run over files of such pages."""
    for place, numbers in enumerate(files):
        rows = [{"text": text_of(number), "url": f"http://a/{number}"} for number in numbers]
        path = folder / name / f"{place}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    none = dict.fromkeys(("gopher_repetition", "gopher_quality", "c4", "fineweb"))
    recipe = {
        "name": name,
        "storage": str(folder / "runs"),
        "sources": [{"kind": "jsonl", "name": "web", "paths": [str(folder / name / "*.jsonl")], "url": "url"}],
        "language": {"keep": [], "threshold": 0},
        "filters": none,
        "spans": {"min_tokens": 50, **spans},
        "paragraphs": {"max_documents": 10, "min_chars": 50},
    }
    return Run(Recipe.model_validate(recipe))


def bring(run: Run) -> dict[str, Manifest]:
    stages = [stage for stage in all_stages(run.recipe) if stage.name in GROUPS["data"]]
    return {planned.stage.name: manifest for planned, manifest in bring_up_to_date(stages, run, nullcontext)}


def kept_texts(run: Run) -> dict[str, str]:
    stages = [run.stage(name) for name in ledger_stages(run.recipe)]
    units = extracted_units(run.need("extract"))
    batches = [batch for unit in units for batch in kept_batches(unit.name, run.stage("extract"), stages)]
    return {row["url"]: row["text"] for batch in batches for row in batch.to_pylist()}


def test_one_copy_stays_and_paragraphs_cut_what_is_left(local_ray: None, tmp_path: Path) -> None:
    run = run_of(tmp_path, "first", [list(range(0, 16)), list(range(16, 31))])
    made = bring(run)
    texts = kept_texts(run)
    assert len(texts) == 31 and not any(NOTICE in text for text in texts.values())
    first_words = text_of(0).split()[:60]
    holders = [url for url, text in texts.items() if " ".join(first_words) in text.lower().replace(",", "")]
    assert len(holders) == 1
    counters = made["spans"].counters
    assert (counters["spans"], counters["documents_cut"], counters["words_repeated"]) == (10, 10, 600)
    assert counters["documents_in"] == counters["documents"] == 31 == made["paragraphs"].counters["documents_cut"]
    removed = counters["chars_removed"] + made["paragraphs"].counters["chars_removed"]
    assert removed == sum(len(text_of(number)) for number in range(31)) - sum(map(len, texts.values()))

    none = run_of(tmp_path, "none", [list(range(31))], keep="none", partitions=2)
    assert bring(none)["spans"].counters["spans"] == 11
    count = run_of(tmp_path, "count", [list(range(31))], action="count")
    made = bring(count)
    assert made["spans"].counters["words_repeated"] == 600 and made["spans"].counters["documents_cut"] == 0
    assert kept_texts(count)["http://a/3"] == text_of(3).removesuffix(NOTICE).strip()


def test_killed_in_every_pass_it_ends_with_the_same_bytes(local_ray: None, tmp_path: Path) -> None:
    run = run_of(tmp_path, "killed", [list(range(0, 16)), list(range(16, 31))], partitions=3)
    whole = bring(run)
    passes = ("anchors/units/web-00000", "repeated/units/part-00001", "windows/units/web-00001")
    for name in (*passes, "places/units/part-00002", "units/web-00001"):
        (run.stage("spans") / f"{name}.json").unlink()
        (run.stage("spans") / FILE_NAME).unlink()
        assert [item.stage.name for item in plan(all_stages(run.recipe), run) if item.why == "unfinished"] == ["spans"]
        again = bring(run)
        assert again["spans"].files == whole["spans"].files and again["spans"].counters == whole["spans"].counters
    assert again["paragraphs"] == whole["paragraphs"]
    other = run.recipe.model_copy(update={"spans": run.recipe.spans.model_copy(update={"partitions": 5})})
    assert not [item for item in plan(all_stages(other), Run(other)) if item.todo and item.stage.name in GROUPS["data"]]
