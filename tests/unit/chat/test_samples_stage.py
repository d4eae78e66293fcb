"""The stage `samples`: what both models write at the end of a run."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import pytest
from crawl2chat.chat.samples_stage import samples_stage
from crawl2chat.core.progress import Progress
from crawl2chat.core.recipe import Recipe
from crawl2chat.core.run import Run
from crawl2chat.core.stage import StageContext, StageResult

ANSWER = "An acid is sour; “très” sour, 漢字 and 🙂."


def work(run: Run) -> tuple[list[dict], StageResult]:
    stage = samples_stage(run.recipe)
    run.stage("samples").mkdir(exist_ok=True)
    inputs = {name: run.need(name) for name in stage.inputs}
    result = stage.work(StageContext(run, run.stage("samples"), inputs, Progress("samples")))
    return json.loads((run.stage("samples") / "samples.json").read_text(encoding="utf-8")), result


def texts(rows: list[dict]) -> list[tuple[str, str, str]]:
    return [(row["kind"], row["prompt"], row["text"]) for row in rows]


def test_continuations_and_answers(run: Run) -> None:
    rows, result = work(run)
    assert texts(rows) == [
        ("continuation", "The history of", " cafés in 漢字 is short. 🙂 Nobody wrote it."),
        ("continuation", "The", " history of cafés in 漢字 is short. 🙂 Nobody wrote it."),
        ("answer", "What is an acid?", ANSWER),
    ]
    assert all(row["tokens"] > 10 and row["tokens_per_second"] > 0 for row in rows)
    assert result.counters == {"samples": 3, "tokens": sum(row["tokens"] for row in rows)}
    assert [(entry.path, entry.rows) for entry in result.files] == [("samples.json", 3)]


def test_the_seed_decides(reopened: Callable[..., Run]) -> None:
    hot = ("sampling.temperature=3.0", "sampling.top_p=1.0")
    drawn = [texts(work(reopened(*hot, f"seed={seed}"))[0]) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_without_instructions_the_base_model_alone(reopened: Callable[..., Run]) -> None:
    rows, _ = work(reopened("instructions=null"))
    assert [row["kind"] for row in rows] == ["continuation", "continuation"]


@pytest.mark.parametrize(
    ("override", "changes"), [("sampling.temperature=0.3", True), ("seed=99", True), ("train.steps=7", False)]
)
def test_what_the_samples_depend_on(reopened: Callable[..., Run], override: str, changes: bool) -> None:
    stage = samples_stage(reopened().recipe)

    def config(recipe: Recipe) -> dict:
        return stage.config(recipe)

    assert (config(reopened().recipe) != config(reopened(override).recipe)) == changes
    assert stage.inputs == ("tokenizer", "pretrain", "finetune")
    assert samples_stage(reopened("instructions=null").recipe).inputs == ("tokenizer", "pretrain")


def test_wiring_imports_neither_torch_nor_ray() -> None:
    code = (
        "import sys, crawl2chat.chat.samples_stage, crawl2chat.pipelines.instructions_stage;"
        "assert not {'torch', 'ray'} & set(sys.modules), sorted({'torch', 'ray'} & set(sys.modules))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
