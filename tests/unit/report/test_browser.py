"""The page in a browser: what it shows at two widths and in both schemes, what it asks for, what it tells a reader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from crawl2chat.cli import main

from .conftest import EVIL, STEPS, Written

SECTIONS = [
    "documents", "reasons", "duplicates", "languages", "tokenizer", "pretrain", "finetune", "align", "evaluation",
    "samples", "making",
]  # fmt: skip


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run that has everything, scripts in its documents too."""
    run = Written(tmp_path_factory.mktemp("report")).everything().run
    assert main(["report", "--run", str(run.folder)]) == 0
    return run.folder / "report.html"


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_shows_all_of_it_without_asking_anyone(report: Path, browser: Any, width: int, dark: bool) -> None:
    browser.look(width, 900, dark)
    browser.visit(report.as_uri())
    assert browser.requested == [report.as_uri()] and browser.faults == []
    assert browser.value("document.documentElement.scrollWidth") <= width, "nothing stands beyond the edge"
    shown = browser.value("[...document.querySelectorAll('section')].map((one) => one.offsetHeight)")
    assert len(shown) == len(SECTIONS) and min(shown) > 100
    ground = browser.value("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(26, 26, 25)" if dark else "rgb(252, 252, 251)")
    words = "[...document.querySelectorAll('td.words')].map((one) => one.offsetWidth).filter((one) => one)"
    assert min(browser.value(words)) > 50, "no column of single letters"
    drawings = (
        "[...document.querySelectorAll('#pretrain svg.chart')].filter((one) => one.getBoundingClientRect().width)"
    )
    sizes = browser.value(f"{drawings}.map((one) => one.getBoundingClientRect().width)")
    assert sizes and max(sizes) <= width
    letters = browser.value(f"{drawings}.map((one) => one.querySelector('text').getBoundingClientRect().height)")
    assert min(letters) >= 11, "texts of charts can be read at any width"


def test_values_stand_under_the_pointer_and_steps_by_logarithms(report: Path, browser: Any) -> None:
    browser.look(1280, 900)
    browser.visit(report.as_uri())
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
    assert 0.4 * STEPS < told < 0.6 * STEPS
    assert loss == pytest.approx(losses[told], abs=0.02)
    browser.point(2, 2)
    assert browser.value(f"{tip}.hidden")
    seen = "(what) => document.querySelector(`#pretrain .${what}`).offsetHeight > 0"
    assert browser.value(f"['even', 'log'].map({seen})") == [True, False]
    browser.value("document.querySelector('#pretrain .logs').click()")
    assert browser.value(f"['even', 'log'].map({seen})") == [False, True]


def test_a_reason_opens_to_its_sample(report: Path, browser: Any) -> None:
    browser.look(1280, 900)
    browser.visit(report.as_uri())
    first = "document.querySelector('.reasons details')"
    assert browser.value(f"{first}.querySelector('.sample').checkVisibility()") is False
    browser.value(f"{first}.querySelector('summary').click()")
    assert browser.value(f"{first}.querySelector('.sample').checkVisibility()") is True


def test_what_is_open_stays_open_while_the_page_reads_itself_anew(report: Path, browser: Any, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    refresh = '<meta http-equiv="refresh" content="2">'
    page.write_text(report.read_text("utf-8").replace("<title>", f"{refresh}<title>", 1), encoding="utf-8")
    browser.look(1280, 900)
    browser.visit(page.as_uri())
    opened = "[...document.querySelectorAll('details[open]')].map((one) => one.dataset.key)"
    assert browser.value(opened) == []
    browser.value("document.querySelectorAll('.reasons details')[1].querySelector('summary').click()")
    browser.value("document.querySelector('#making details summary').click()")
    browser.value("document.querySelector('#pretrain .logs').click()")
    browser.value("document.querySelector('#making').scrollIntoView({behavior: 'instant'})")
    before, height = browser.value(opened), browser.value("scrollY")
    assert len(before) == 2 and height > 1000
    for _ in range(2):
        browser.value("window.before = true")
        browser.until("!window.before && document.readyState === 'complete' && scrollY > 0", seconds=10)
        assert browser.value(opened) == before
        assert browser.value("document.querySelector('#pretrain .logs').checked")
        assert browser.value("scrollY") == pytest.approx(height, abs=5)
    assert browser.faults == []


def test_a_script_in_a_document_does_not_run(report: Path, browser: Any, tmp_path: Path) -> None:
    """Even where it was not escaped: the page's policy knows its own script alone."""
    text = report.read_text("utf-8")
    evil = '<script>document.title = "taken over"</script><img src=x onerror="document.title = \'taken over\'">'
    (tmp_path / "page.html").write_text(text.replace("</main>", f"{evil}</main>"), encoding="utf-8")
    browser.visit((tmp_path / "page.html").as_uri())
    assert browser.value("document.title") == "shown – crawl2chat"
    assert len(browser.faults) >= 2, "and the browser says that it was refused"


def test_what_was_planted_stands_there_as_text(report: Path, browser: Any) -> None:
    browser.visit(report.as_uri())
    assert browser.value("document.querySelectorAll('script').length") == 1
    assert EVIL in browser.value("document.querySelector('#samples').textContent")
    assert browser.faults == [], "no dialog, no error"
