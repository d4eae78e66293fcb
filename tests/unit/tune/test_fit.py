"""From a file of runs to all laws: rows that are wrong are named, what is missing is a mark."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from crawl2chat.core.errors import InputError
from crawl2chat.tune.fit import fit_points
from crawl2chat.tune.laws import CHINCHILLA
from crawl2chat.tune.points import read_points, settings


def sweep(path: Path, rates: tuple[float, ...] = (0.25, 0.5, 1.1, 2, 4), ratio: float | None = None) -> Path:
    """Runs at some sizes and lengths and learning rates about best ones, 1.5 · N^-0.7 · D^0.3."""
    rows = []
    for n in (1e8, 3e8, 1e9, 3e9):
        for d in (5e9, 2e10, 8e10) if ratio is None else (ratio * n, 1e10):
            best = 1.5 * n**-0.7 * d**0.3
            for rate in rates:
                loss = float(CHINCHILLA.loss(n, d)) + 0.02 * np.log(rate) ** 2
                rows.append({"parameters": n, "tokens": d, "learning_rate": best * rate, "loss": loss})
    path.write_text(json.dumps(rows))
    return path


def test_a_sweep_gives_both_laws(tmp_path: Path) -> None:
    fitted = fit_points(read_points(sweep(tmp_path / "runs.json")), draws=5)
    assert fitted.loss.law.alpha == pytest.approx(0.34, abs=0.01)
    law = fitted.best["learning_rate"].law
    assert law.exponents == pytest.approx({"parameters": -0.7, "tokens": 0.3}, abs=0.01)
    assert law.factor == pytest.approx(1.5, rel=0.05)
    assert fitted.isoflop is None
    assert any("IsoFLOP" in words for words in fitted.marks)


def test_minima_at_the_end_of_the_rates_are_marked_and_not_fitted(tmp_path: Path) -> None:
    fitted = fit_points(read_points(sweep(tmp_path / "runs.json", rates=(0.1, 0.3, 0.9))), draws=2)
    assert "learning_rate" not in fitted.best
    edges = [words for words in fitted.marks if "high end of learning rate" in words]
    assert len(edges) == 12
    assert any("no law of the best learning rate: 0 sizes" in words for words in fitted.marks)


def test_csv_and_the_results_of_a_search(tmp_path: Path) -> None:
    table = tmp_path / "runs.csv"
    table.write_text("parameters,tokens,loss\n1e6,1e7,3.5\n1e6,1e7,3.4\n2e6,1e7,\n")
    points = read_points(table)
    assert np.isnan(points.loss[2]) and not points.tried
    assert [(one.parameters, one.loss, one.valleys) for one in settings(points)] == [(1e6, 3.4, {})]
    results = tmp_path / "results.json"
    rows = [
        {"parameters": 149_000, "tokens": 1000, "learning_rate": rate, "validation_loss": loss, "state": "finished"}
        for rate, loss in ((0.01, 6.3), (0.02, 6.2), (0.04, 6.4), (0.08, None))
    ]
    rows.append({**rows[0], "tokens": 500, "validation_loss": 6.5, "state": "stopped"})  # no point of 500 tokens
    results.write_text(json.dumps(rows))
    [one] = settings(read_points(results))
    assert one.loss < 6.2
    assert 0.01 < one.valleys["learning_rate"].best < 0.04


def test_of_a_sweep_the_ladder_counts_and_without_one_what_was_searched_without_transfer(tmp_path: Path) -> None:
    def row(phase: str, loss: float | None, transfer: bool, state: str = "finished", tokens: int = 1000) -> dict:
        told = {"parameters": 9000, "learning_rate": 0.01, "batch_tokens": 64, "phase": phase, "state": state}
        return told | {"tokens": tokens, "validation_loss": loss, "transfer": transfer}

    searched = [row("search", 6.0, True), row("search", 7.0, False), row("grid", 5.0, True)]
    searched.append(row("search", None, False, "failed", tokens=0))
    path = tmp_path / "results.json"
    for rows, loss in ((searched, 7.0), ([*searched, row("ladder", 4.0, True)], 4.0), (searched[:1], 6.0)):
        path.write_text(json.dumps(rows))
        assert read_points(path).loss.tolist() == [loss]


def test_two_minima_have_a_law_without_interval(tmp_path: Path) -> None:
    """Rates were varied for two sizes only, and each size has its own length; the others are points of the loss."""
    rows = json.loads(sweep(tmp_path / "runs.json").read_text())
    lengths = {1e8: 5e9, 3e9: 8e10}
    kept = [row for row in rows if lengths.get(row["parameters"]) == row["tokens"]]
    best = [row for row in rows if row not in kept][2::5]  # the middle rate alone
    (tmp_path / "runs.json").write_text(json.dumps(kept + best))
    fitted = fit_points(read_points(tmp_path / "runs.json"), draws=2)
    assert list(fitted.best["learning_rate"].law.exponents) == ["parameters"]
    assert any("has no interval" in words for words in fitted.marks)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("parameters,tokens,loss\n1e6,1e7,3.5\nx,1e7,3.4\n", "row 2: parameters is 'x'"),
        ("parameters,tokens,loss\n1e6,,3.5\n", "row 1: tokens is ''"),
        ("parameters,tokens,loss\n1e6,1e7,-1\n", "row 1: loss is '-1'"),
        ("size,tokens,loss\n1e6,1e7,3\n", "row 1: parameters is None"),
        ("parameters,tokens,loss\n", "no rows"),
        ('{"a": 1}', "no rows"),
        ("[1, 2]", "no rows"),
        ("[{", "neither CSV nor JSON"),
    ],
)
def test_files_that_hold_no_runs(tmp_path: Path, text: str, match: str) -> None:
    path = tmp_path / "runs"
    path.write_text(text)
    with pytest.raises(InputError, match=match):
        read_points(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_points(tmp_path / "runs.csv")
