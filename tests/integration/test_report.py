"""The report of a whole run: written by the run itself, equal to what its manifests say, and as a browser shows it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .conftest import Workshop

pytestmark = [pytest.mark.ray, pytest.mark.slow]
SECTIONS = ["documents", "reasons", "duplicates", "languages", "tokenizer", "pretrain", "finetune", "samples", "making"]


@pytest.fixture(scope="module")
def report(finished: Workshop) -> Path:
    return finished.folder / "runs/tiny/report.html"


def counters(folder: Path, stage: str) -> dict[str, Any]:
    return json.loads((folder / stage / "manifest.json").read_text())["counters"]


def test_a_run_ends_with_its_report(finished: Workshop, report: Path) -> None:
    assert f"report: {report.resolve()}" in (finished.folder / "first_output.txt").read_text()
    text = report.read_text("utf-8")
    assert '<span class="pill">finished</span>' in text
    assert re.findall(r'<section id="([^"]*)"', text) == SECTIONS
    assert "No report" not in (report.parent / "logs" / "crawl2chat.log").read_text()


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
    texts = [sample["text"] for step in steps.values() for one in step["reasons"] for sample in one["samples"]]
    assert len([text for text in texts if text]) > len(texts) / 2, "most of what left can be read again"
    pretrain, finetune = found["trainings"]
    assert pretrain["counters"] == counters(run, "pretrain")
    assert {mark["kind"] for mark in pretrain["marks"]} == {"checkpoint"}
    assert [mark["step"] for mark in pretrain["marks"]] == [20, 40, 60]
    assert {row["step"] for row in pretrain["samples"]} == {30, 60} and all(row["text"] for row in pretrain["samples"])
    assert finetune["checks"][0]["validation_loss"] == counters(run, "finetune")["validation_loss_before"]


def test_a_run_that_fails_says_so_on_its_page(finished: Workshop) -> None:
    gates = ["dedup.gates.max_removed=0.001", "dedup.gates.min_documents=1"]
    settings = [word for one in ("name=failing", *gates) for word in ("--set", one)]
    code, output = finished.run("data", "recipes/tiny.yaml", *settings)
    assert code == 1, output
    text = (finished.folder / "runs/failing/report.html").read_text("utf-8")
    assert '<span class="pill">failed</span>' in text and "dedup.gates.max_removed=0.001" in text
    assert 'id="documents"' in text and 'id="pretrain"' not in text


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_shows_all_of_it_without_asking_anyone(report: Path, browser: Any, width: int, dark: bool) -> None:
    browser.size(width, 900, dark)
    browser.open(report.as_uri())
    assert browser.requested() == [report.as_uri()] and browser.said() == []
    assert browser.value("document.documentElement.scrollWidth") <= width, "nothing stands beyond the edge"
    shown = browser.value("[...document.querySelectorAll('section')].map((one) => one.offsetHeight)")
    assert len(shown) == len(SECTIONS) and min(shown) > 100
    ground = browser.value("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(26, 26, 25)" if dark else "rgb(252, 252, 251)")
    drawings = (
        "[...document.querySelectorAll('#pretrain svg.chart')].filter((one) => one.getBoundingClientRect().width)"
    )
    sizes = browser.value(f"{drawings}.map((one) => one.getBoundingClientRect().width)")
    assert sizes and max(sizes) <= width
    letters = browser.value(f"{drawings}.map((one) => one.querySelector('text').getBoundingClientRect().height)")
    assert min(letters) >= 11, "texts of charts can be read at any width"


def test_values_stand_under_the_pointer_and_steps_by_logarithms(report: Path, browser: Any) -> None:
    browser.size(1280, 900)
    browser.open(report.as_uri())
    chart = "document.querySelector('#pretrain .even .wide svg.chart')"
    browser.value(f"{chart}.scrollIntoView({{behavior: 'instant', block: 'center'}})")
    box = browser.value(f"(({{x, y, width, height}}) => [x, y, width, height])({chart}.getBoundingClientRect())")
    tip = f"{chart}.parentElement.querySelector('.tip')"
    assert browser.value(f"{tip}.hidden")
    browser.point(box[0] + 0.5 * box[2], box[1] + 0.5 * box[3])
    assert not browser.value(f"{tip}.hidden")
    step, *values = browser.value(f"{tip}.textContent").split("\n")
    rows = [json.loads(line) for line in (report.parent / "pretrain" / "metrics.jsonl").read_text().splitlines()]
    losses = {row["step"]: row["loss"] for row in rows if "loss" in row}
    told = int(step.removeprefix("step "))
    loss = next(float(value.split()[0]) for value in values if value.endswith("training"))
    assert loss == pytest.approx(losses[min(losses, key=lambda at: abs(at - told))], abs=0.01)
    browser.point(2, 2)
    assert browser.value(f"{tip}.hidden")
    seen = "(what) => document.querySelector(`#pretrain .${what}`).offsetHeight > 0"
    assert browser.value(f"['even', 'log'].map({seen})") == [True, False]
    browser.value("document.querySelector('#pretrain .logs').click()")
    assert browser.value(f"['even', 'log'].map({seen})") == [False, True]


def test_a_reason_opens_to_its_sample(report: Path, browser: Any) -> None:
    browser.size(1280, 900)
    browser.open(report.as_uri())
    first = "document.querySelector('.reasons details')"
    assert browser.value(f"{first}.querySelector('.sample').checkVisibility()") is False
    browser.value(f"{first}.querySelector('summary').click()")
    assert browser.value(f"{first}.querySelector('.sample').checkVisibility()") is True


def test_a_script_in_a_document_does_not_run(report: Path, browser: Any, tmp_path: Path) -> None:
    """Even where it was not escaped: the page's policy knows its own script alone."""
    text = report.read_text("utf-8")
    evil = '<script>document.title = "taken over"</script><img src=x onerror="document.title = \'taken over\'">'
    (tmp_path / "page.html").write_text(text.replace("</main>", f"{evil}</main>"), encoding="utf-8")
    browser.open((tmp_path / "page.html").as_uri())
    assert browser.value("document.title") == "tiny – crawl2chat"
    assert len(browser.said()) >= 2, "and the browser says that it was refused"
