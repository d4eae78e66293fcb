"""From results of a sweep to a forecast: the law, the interval, the files, the errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from crawl2chat.core.errors import InputError, RecipeError
from crawl2chat.core.progress import console
from crawl2chat.core.recipe import load_recipe
from crawl2chat.core.run import Run
from crawl2chat.core.settings_tune import Tune
from crawl2chat.model.config import ModelConfig
from crawl2chat.tune.checks import check_sweep
from crawl2chat.tune.forecast import Forecast, Verification, print_forecast, print_verification, write_forecast
from crawl2chat.tune.forecast_make import target_run
from crawl2chat.tune.laws import LossLaw
from crawl2chat.tune.report import numbers, read_report
from crawl2chat.tune.report_tables import outcome_table
from crawl2chat.tune.rows import row_model, steps_of

from .forecast_results import (
    LADDER,
    LAW,
    LENGTHS,
    NOW,
    ROWS,
    TUNE,
    VOCABULARY,
    ladder,
    made,
    result,
    search,
    with_sweep,
)


@pytest.fixture(scope="module")
def whole() -> Forecast:
    return made([*ladder(), *search(ROWS)])


def test_the_interval_holds_the_truth(whole: Forecast) -> None:
    target = target_run(TUNE, VOCABULARY)
    truth = float(LAW.loss(target.parameters, target.tokens))
    assert whole.loss is not None and whole.interval is not None
    assert whole.interval[0] < truth < whole.interval[1]
    assert whole.loss == pytest.approx(truth, rel=0.01)
    assert whole.target == target
    assert whole.law.ranges["tokens"] == (LENGTHS[0], LENGTHS[-1])
    assert set(whole.intervals) == {"E", "A", "B", "alpha", "beta", "exponent"}


def test_flops_are_those_of_the_model(whole: Forecast) -> None:
    config = ModelConfig.from_settings(row_model("1m", TUNE), VOCABULARY)
    assert whole.target is not None and whole.compute_ratio is not None
    assert whole.target.flops == config.flops_per_token() * whole.target.tokens
    assert whole.largest_fit_flops == max(point.flops for point in whole.points)
    assert whole.compute_ratio == pytest.approx(whole.target.flops / whole.largest_fit_flops)
    assert whole.compute_ratio > 10
    assert not any("times the compute" in words for words in whole.marks)
    assert whole.batch_tokens == 4 * 256


def test_the_band_goes_from_the_smallest_run_to_the_target(whole: Forecast) -> None:
    assert whole.target is not None and whole.interval is not None
    assert len(whole.band) == 40
    assert whole.band[0][0] == pytest.approx(min(point.flops for point in whole.points))
    assert whole.band[-1] == pytest.approx((whole.target.flops, whole.loss, *whole.interval))
    assert all(low < loss < high for _, loss, low, high in whole.band)
    assert [one[1] for one in whole.band] == sorted((one[1] for one in whole.band), reverse=True)


def test_the_file_has_the_fields_that_others_read(whole: Forecast, tmp_path: Path) -> None:
    raw = json.loads(write_forecast(tmp_path, whole).read_text(encoding="utf-8"))
    assert datetime.fromisoformat(raw["written"]) == NOW
    assert raw["code_version"] == "1.0+abc"
    assert (raw["level"], raw["draws"], raw["isoflop"]) == (0.95, 40, None)
    assert set(raw["target"]) == {"row", "parameters", "tokens", "flops"}
    assert set(raw["points"][0]) == {*raw["target"], "loss", "fitted"} and len(raw["points"]) == 16
    assert raw["points"][0]["fitted"] == pytest.approx(raw["points"][0]["loss"], rel=5e-3)
    assert LossLaw.model_validate(raw["law"]) == whole.law


def test_without_a_target_there_is_a_law() -> None:
    forecast = made([*ladder(), *search(ROWS, exponent=-1.0)], Tune.model_validate({"batch": 4, "ladder": LADDER}))
    assert (forecast.target, forecast.loss, forecast.interval, forecast.compute_ratio) == (None, None, None, None)
    assert forecast.band[-1][0] == pytest.approx(forecast.largest_fit_flops)
    assert forecast.learning_rate == 0.01 and not any("the target" in words for words in forecast.marks)


def test_other_phases_and_the_other_parametrisation_are_no_points() -> None:
    wrong = [one.model_copy(update={"validation_loss": 9.0}) for one in ladder(transfer=True)]
    assert len(made([*ladder(), *wrong, *search(ROWS)]).points) == 16


def test_too_few_points_name_the_keys_of_the_recipe() -> None:
    runs = [one for one in ladder() if one.tokens == LENGTHS[0]]
    with pytest.raises(InputError, match=r"4 points for the 5 constants[\s\S]*add rows or lengths to tune\.ladder"):
        made(runs)
    with pytest.raises(InputError, match=r"0 points[\s\S]*2 of 2 runs[\s\S]*failed"):
        made([one.model_copy(update={"state": "failed"}) for one in runs[:2]])


def test_isoflop_where_runs_share_a_compute() -> None:
    sizes = {row: result(row, 1, 1).parameters for row in ROWS}
    computes = [6 * n * LAW.tokens_for(n) for n in (1.5e5, 2e5, 2.8e5)]  # at which these are the best sizes
    runs = [result(row, int(c / 6 / sizes[row]), 0.01, phase="ladder") for c in computes for row in ROWS]
    cross = made(runs).isoflop
    assert cross is not None
    assert [one.flops for one in cross.budgets] == pytest.approx(computes, rel=0.01)
    assert cross.law.exponents["flops"] == pytest.approx(LAW.exponent, abs=0.1)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"target": {"row": "60k", "tokens": 1}}, "no row '60k'"),
        (
            {"target": {"row": "odd", "tokens": 1}, "shapes": {"odd": {"width": 50, "heads": 4}}},
            r"row odd: .*heads is 4",
        ),
        ({"ladder": {"rows": ["50k", "1x", "2x"], "tokens": LENGTHS}}, "no row '1x'"),
        ({"ladder": {"rows": ["50k", "100k"], "tokens": LENGTHS}}, "2 rows, 4 lengths and 8 points"),
        ({"ladder": {"rows": ROWS, "tokens": [1, 2]}}, "4 rows, 2 lengths and 8 points"),
    ],
)
def test_recipes_that_cannot_be_forecast(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        check_sweep(with_sweep(Tune.model_validate(TUNE.model_dump() | changed)))


def test_rows_of_the_recipe_come_first() -> None:
    own = Tune.model_validate({"shapes": {"50k": {"layers": 1, "width": 32, "heads": 2}}})
    assert (row_model("50k", own).layers, row_model("50k", Tune()).layers) == (1, 2)
    assert steps_of(40_960_000, TUNE, 256) == 40_000 and steps_of(1, TUNE, 256) == 1
    check_sweep(with_sweep(Tune()))


def test_what_is_printed(whole: Forecast) -> None:
    with console.capture() as capture:
        print_forecast(whole)
    shown = capture.get()
    said = f"learning rate 0.01, the ladder's (the law of the best one says {whole.law_learning_rate:.3g}); batch 1,024"
    assert said in shown
    assert f"loss {whole.loss:.4f}, 95% between" in shown and "2026-01-02 03:04:05 UTC, by version 1.0+abc" in shown
    values = {
        "loss": 4.2,
        "bits_per_byte": 3.0,
        "forecast": 4.0,
        "interval": (3.9, 4.1),
        "error": 0.05,
        "inside": False,
    }
    found = Verification.model_validate(
        values | {"learning_rate": 0.01, "steps": 10, "tokens": 100, "seconds": 1.0, "curve": [(100, 4.2)]}
    )
    with console.capture() as capture:
        print_verification(found)
    assert "error      +5.00%, OUTSIDE the interval: the forecast failed" in capture.get()


def test_the_report_shows_both_rates(sweep_files: Callable[..., Any]) -> None:
    folder = sweep_files().write()
    path = folder / "forecast" / "forecast.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"law_learning_rate": 0.0123}))
    report = read_report(Run(load_recipe(folder / "recipe.yaml")))
    shown = {row[0]: row[1] for row in outcome_table(report).rows}
    assert (shown["learning rate, the ladder's"], shown["… best by its law"]) == ("0.01562", "0.0123")
    assert numbers(report)["forecast"]["law_learning_rate"] == 0.0123
