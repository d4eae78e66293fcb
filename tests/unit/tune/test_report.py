"""`crawl2chat tune report`: its numbers against the files, the page as HTML, what is missing, what does not fit."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from crawl2chat.cli import main
from crawl2chat.core.files import write_json

VOID = {"meta", "link", "br", "hr", "img", "input"}
SELF_CLOSED = {"path", "use", "rect", "circle", "line"}
SECTIONS = ["Fit, forecast, held-out run", "Learning-rate valleys", "Loss curves", "IsoFLOP curves", "ASHA against"]


class Page(HTMLParser):
    """The tags that stand open, those closed out of turn, ids and what refers to them, all text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.ids: list[str] = []
        self.references: set[str] = set()
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            self.ids += [value or ""] if name == "id" else []
            self.references |= set(re.findall(r"url\(#(.*?)\)", value or ""))
            self.references |= {value[1:]} if name == "href" and value and value.startswith("#") else set()

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Runs the verb; its JSON, or the page as text."""

    def made(run: Path, *options: str) -> Any:
        assert main(["tune", "report", "--run", str(run), *options]) == 0
        said = capsys.readouterr().out
        return json.loads(said) if "--json" in options else (run / "report" / "index.html").read_text("utf-8")

    return made


def test_the_numbers_are_those_of_the_files(sweep_files: Callable[..., Any], report: Callable[..., Any]) -> None:
    run = sweep_files().write()
    found = report(run, "--json")
    forecast = json.loads((run / "forecast" / "forecast.json").read_text())
    held_out = json.loads((run / "verify" / "verification.json").read_text())
    assert found["constants"] == {name: forecast["law"][name] for name in ("E", "A", "B", "alpha", "beta", "gamma")}
    assert found["intervals"] == forecast["intervals"]
    low, high = found["intervals"]["alpha"]
    assert low < 0.35 < high, "the exponent that the points were drawn with"
    assert found["forecast"]["loss"] == forecast["loss"]
    assert found["forecast"]["interval"] == forecast["interval"]
    assert found["held_out_loss"] == held_out["loss"]
    assert found["forecast_error"] == pytest.approx(held_out["loss"] / forecast["loss"] - 1)
    assert abs(found["forecast_error"]) < 0.02
    assert found["lr_drift_steps"] == {"transfer": 0.4, "standard": 2.6}
    assert found["busy_share"] == pytest.approx((380 + 540) / (2 * 200 + 2 * 300))
    assert found["asha_step_share"] == pytest.approx(960 / 3200)
    assert found["asha_loss_ratio"] == pytest.approx(4.411 / 4.4)
    assert found["warnings"] == []
    assert not (run / "report").exists(), "numbers alone draw nothing"


def test_the_page_stands_alone(sweep_files: Callable[..., Any], report: Callable[..., Any]) -> None:
    run = sweep_files().write(equal_compute=True)
    text = report(run)
    assert not re.search(r"https?:|//[a-z]|<script|<link|<img|@import|url\((?!#)", text)
    page = Page(text)
    assert page.wrong == [] and page.open == []
    assert len(set(page.ids)) == len(page.ids)
    assert page.references <= set(page.ids) and page.references
    assert all(words in page.text for words in SECTIONS)
    assert "Nothing to draw" not in page.text
    assert page.tags.count("svg") == 2 + 2 + 4 + 1 + 2  # fit, valleys, a panel a row, IsoFLOP, ASHA
    assert "prefers-color-scheme: dark" in text
    names = {"index.html", "fit.png", "valleys.png", "curves.png", "isoflop.png", "asha.png"}
    assert {path.name for path in (run / "report").iterdir()} == names


def test_the_page_says_what_was_found(sweep_files: Callable[..., Any], report: Callable[..., Any]) -> None:
    run = sweep_files().write()
    page = Page(report(run)).text
    forecast = json.loads((run / "forecast" / "forecast.json").read_text())
    held_out = json.loads((run / "verify" / "verification.json").read_text())
    assert f"{forecast['loss']:.4f}" in page and f"{held_out['loss']:.4f}" in page
    assert f"{held_out['error']:+.2%}" in page
    assert "drift 0.4 grid steps of ×2" in page and "drift 2.6 grid steps of ×2" in page
    assert "ASHA took 30.0% of the grid's steps, its best loss is 0.25% above the grid's" in page
    assert "100,144" in page, "the parameters of 50k with a vocabulary of 1024"
    assert re.search(r"lies between\s*52\s*39,000\s*2\s*500\.0\s*920\.0\s*92\.0%", page)
    assert f"crawl2chat tune verify --run {run}" in page and "512 s" in page
    for mark in ("measured", "derived", "forecast"):
        assert page.count(mark) > 3


def test_the_folder_is_chosen(sweep_files: Callable[..., Any], report: Callable[..., Any], tmp_path: Path) -> None:
    run = sweep_files().write()
    report(run, "--json", "--out", str(tmp_path / "elsewhere"))
    assert (tmp_path / "elsewhere" / "index.html").is_file() and not (run / "report").exists()


def test_names_and_errors_are_escaped(sweep_files: Callable[..., Any], report: Callable[..., Any]) -> None:
    files = sweep_files()
    files.sweep.marks = ["<script>alert(1)</script> & more"]
    evil = '<i>"$x$&'
    files.configs[evil] = files.configs["50k"]
    for at, rate in enumerate((0.01, 0.02, 0.04)):
        one = files.result(evil, 500_000, 4.0 + 0.1 * abs(at - 1), learning_rate=rate)
        files.curve(one)
    files.result(evil, 0, None, state="failed", error="InputError: <b>none</b>")
    text = report(files.write())
    assert "<script" not in text and "<i>" not in text and "<b>none" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in text
    page = Page(text)
    assert page.wrong == [] and page.open == []
    assert page.text.count(evil) >= 4, "as the title of a panel, in a legend, in the tables"


@pytest.mark.parametrize(
    ("missing", "words", "null"),
    [
        ({"verification": False}, "not yet run", ["held_out_loss", "forecast_error"]),
        ({"forecast": False}, "no forecast was made", ["constants", "intervals", "forecast", "held_out_loss"]),
        ({"ladder": False, "forecast": False}, "the sweep has no ladder", ["constants", "forecast"]),
        ({"transfer": False}, "no trials with transfer to compare", []),
        ({"asha": False}, "the recipe asks for none (tune.asha_check)", ["asha_step_share", "asha_loss_ratio"]),
    ],
)
def test_what_a_sweep_may_lack(
    sweep_files: Callable[..., Any],
    report: Callable[..., Any],
    missing: dict[str, bool],
    words: str,
    null: list[str],
) -> None:
    run = sweep_files().write(**missing)
    page = Page(report(run))
    assert page.wrong == [] and words in page.text
    found = report(run, "--json")
    assert [found[key] for key in null] == [None] * len(null)
    assert found["busy_share"] == pytest.approx(0.92)
    assert found["lr_drift_steps"]["transfer"] == (0.4 if missing.get("transfer", True) else None)
    assert (run / "report" / "asha.png").exists() == missing.get("asha", True)
    assert (run / "report" / "fit.png").exists() == missing.get("forecast", True)


def test_points_of_unequal_compute_have_no_isoflop(sweep_files: Callable[..., Any], report: Callable[..., Any]) -> None:
    run = sweep_files().write()
    (run / "report").mkdir()
    (run / "report" / "isoflop.png").write_bytes(b"of an earlier sweep")
    assert "no three of different sizes with the same compute" in Page(report(run)).text
    assert not (run / "report" / "isoflop.png").exists()


def test_a_changed_recipe_is_said(sweep_files: Callable[..., Any], report: Callable[..., Any]) -> None:
    run = sweep_files().write()
    recipe = run / "recipe.yaml"
    recipe.write_text(recipe.read_text() + "seed: 18\n")
    [words] = report(run, "--json")["warnings"]
    assert "not that of the recipe and data as they are now (changed: seed" in words
    assert words in Page(report(run)).text


def test_changed_data_and_other_forecasts_are_said(sweep_files: Callable[..., Any], report: Callable[..., Any]) -> None:
    run = sweep_files().write()
    manifest = json.loads((run / "shards" / "manifest.json").read_text())
    write_json(run / "shards" / "manifest.json", manifest | {"facts": {"tokens": 1}})
    held_out = json.loads((run / "verify" / "verification.json").read_text())
    write_json(run / "verify" / "verification.json", held_out | {"forecast": 9.5})
    write_json(run / "forecast" / "manifest.json", manifest | {"stage": "forecast", "inputs": {"tune": "other"}})
    shards, results, forecast = report(run, "--json")["warnings"]
    assert "output of shards" in shards
    assert "other results" in results
    assert "of another forecast: 9.5" in forecast


def test_marks_of_the_sweep_and_the_forecast_stand_once(
    sweep_files: Callable[..., Any], report: Callable[..., Any]
) -> None:
    files = sweep_files()
    files.sweep.marks = ["50k: the best rate is at the grid's end", "the same"]
    run = files.write()
    forecast = json.loads((run / "forecast" / "forecast.json").read_text())
    write_json(run / "forecast" / "forecast.json", forecast | {"marks": ["the same", "only 9 times the compute"]})
    marks = ["50k: the best rate is at the grid's end", "the same", "only 9 times the compute"]
    assert report(run, "--json")["warnings"] == marks


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("tune/manifest.json", None, "holds no finished sweep"),
        ("tune/results.json", None, "does not hold what a sweep of this version writes"),
        ("tune/results.json", '[{"row": "50k"}]', "does not hold what a sweep of this version writes"),
        ("tune/curves.json", "{", "does not hold what a sweep of this version writes"),
        ("forecast/forecast.json", "{", "forecast.json is not JSON"),
        ("verify/verification.json", "[]", "verification.json holds no object"),
        ("recipe.yaml", None, "is not a run"),
    ],
)
def test_runs_without_a_whole_sweep(
    sweep_files: Callable[..., Any],
    capsys: pytest.CaptureFixture[str],
    file: str,
    content: str | None,
    words: str,
) -> None:
    run = sweep_files().write()
    if content is None:
        (run / file).unlink()
    else:
        (run / file).write_text(content)
    assert main(["tune", "report", "--run", str(run)]) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert words in error and "fix: " in error
    assert not (run / "report").exists()
