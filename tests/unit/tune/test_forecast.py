"""From results of a sweep to a forecast: the law, the interval, the rate, the marks, the errors."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crawl2chat.core.errors import InputError, RecipeError
from crawl2chat.core.progress import console
from crawl2chat.core.recipe import Recipe, load_recipe
from crawl2chat.core.settings_tune import Tune
from crawl2chat.model.config import ModelConfig
from crawl2chat.tune.best_settings import seed_spread
from crawl2chat.tune.checks import check_sweep
from crawl2chat.tune.forecast import Forecast, Verification, print_forecast, print_verification, write_forecast
from crawl2chat.tune.forecast_make import make_forecast, target_run
from crawl2chat.tune.laws import LossLaw
from crawl2chat.tune.results import Result, Sweep
from crawl2chat.tune.rows import row_model, steps_of

VOCABULARY, NOW = 512, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LAW = LossLaw(E=1.8, A=30.0, B=400.0, alpha=0.3, beta=0.4, source="the truth")
ROWS, LENGTHS = ["50k", "100k", "250k", "500k"], [512_000, 1_024_000, 2_048_000, 4_096_000]
LADDER = {"rows": ROWS, "tokens": LENGTHS}
TUNE = Tune.model_validate({"batch": 4, "ladder": LADDER, "target": {"row": "1m", "tokens": 40_960_000}})


def ladder(noise: float = 3e-4, seed: int = 0, **other: Any) -> list[Result]:
    generator = np.random.default_rng(seed)
    return [
        result(row, length, 0.01, generator.normal(0, noise), phase="ladder", **other)
        for row in ROWS
        for length in LENGTHS
    ]


def result(row: str, tokens: int, rate: float, above: float = 0.0, **other: Any) -> Result:
    """A run whose loss is the law's, times exp(above)."""
    config = ModelConfig.from_settings(row_model(row, Tune()), VOCABULARY)
    loss = float(LAW.loss(config.parameters(), tokens)) * float(np.exp(above))
    values = {
        "name": f"{row}-{tokens}-{rate}",
        "row": row,
        "learning_rate": rate,
        "batch_tokens": 512,
        "parameters": config.parameters(),
        "flops": config.flops_per_token() * tokens,
        "steps": tokens // 512,
        "tokens": tokens,
        "validation_loss": loss,
        "bits_per_byte": loss / 1.4,
        "seconds": 1.0,
        "state": "finished",
    }
    return Result.model_validate(values | other)


def search(rows: list[str], exponent: float = -0.4) -> list[Result]:
    """Five rates about each row's best, a power of its size."""
    found = []
    for row in rows:
        best = 0.02 * (result(row, 512_000, 1).parameters / 1e5) ** exponent
        found += [result(row, 512_000, best * x, 0.05 * np.log(x) ** 2) for x in (0.25, 0.5, 1.0, 2.0, 4.0)]
    return found


def made(results: list[Result], tune: Tune = TUNE, rate: float | None = 0.011) -> Forecast:
    return make_forecast(results, Sweep(learning_rate=rate), tune, VOCABULARY, NOW, "1.0+abc", draws=40)


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


def test_the_rate_follows_a_sure_law(whole: Forecast) -> None:
    assert whole.target is not None
    law = whole.best["learning_rate"]
    assert law is not None and law.exponents["parameters"] == pytest.approx(-0.4, abs=0.02)
    assert whole.learning_rate == pytest.approx(0.02 * (whole.target.parameters / 1e5) ** -0.4, rel=0.05)
    assert whole.best["batch_tokens"] is None


def test_the_file_has_the_fields_that_others_read(whole: Forecast, tmp_path: Path) -> None:
    raw = json.loads(write_forecast(tmp_path, whole).read_text(encoding="utf-8"))
    assert datetime.fromisoformat(raw["written"]) == NOW
    assert raw["code_version"] == "1.0+abc"
    assert (raw["level"], raw["draws"], raw["isoflop"]) == (0.95, 40, None)
    assert set(raw["target"]) == {"row", "parameters", "tokens", "flops"}
    assert set(raw["points"][0]) == {*raw["target"], "loss", "fitted"} and len(raw["points"]) == 16
    assert raw["points"][0]["fitted"] == pytest.approx(raw["points"][0]["loss"], rel=5e-3)
    assert LossLaw.model_validate(raw["law"]) == whole.law


def test_without_minima_the_rate_is_the_ladder_s() -> None:
    forecast = made(ladder())
    assert forecast.learning_rate == 0.011
    assert forecast.best == {"learning_rate": None, "batch_tokens": None}
    assert any("no law of the best learning rate" in words for words in forecast.marks)
    assert any("ladder's, 0.011" in words for words in forecast.marks)
    assert made(ladder(), rate=None).learning_rate == 0.01, "of its runs, where the sweep chose none"


def test_an_unsure_law_is_not_followed() -> None:
    forecast = made([*ladder(), *search(ROWS[:2])])
    assert forecast.best["learning_rate"] is not None
    assert forecast.learning_rate == 0.011
    assert any("too few minima: the ladder's is taken" in words for words in forecast.marks)


def test_a_minimum_at_the_end_of_the_rates_is_marked() -> None:
    forecast = made([*ladder(), *search(["50k"])[:3]])  # the best of these three is the highest
    assert any("high end of learning rate" in words for words in forecast.marks)


def test_a_short_way_and_a_small_target_are_marked() -> None:
    near = TUNE.model_copy(update={"target": TUNE.target.model_copy(update={"row": "250k"})})  # type: ignore[union-attr]
    forecast = made(ladder(), near)
    assert any("times the compute of the largest run, less than 10" in words for words in forecast.marks)
    assert any("parameters, fewer than the ladder's largest" in words for words in forecast.marks)


def test_runs_that_did_not_finish_are_left_out_and_named() -> None:
    runs = ladder()
    runs[5] = runs[5].model_copy(update={"state": "diverged", "validation_loss": None})
    forecast = made(runs)
    assert len(forecast.points) == 15
    assert any(
        "1 of 16 runs of the ladder are not in the fit: 100k at 1,024,000 tokens diverged" in m for m in forecast.marks
    )


def test_without_a_target_there_is_a_law() -> None:
    forecast = made(ladder(), Tune.model_validate({"batch": 4, "ladder": LADDER}))
    assert (forecast.target, forecast.loss, forecast.interval, forecast.compute_ratio) == (None, None, None, None)
    assert forecast.band[-1][0] == pytest.approx(forecast.largest_fit_flops)


def test_other_phases_and_the_other_parametrisation_are_no_points() -> None:
    wrong = [one.model_copy(update={"validation_loss": 9.0}) for one in ladder(transfer=True)]
    assert len(made([*ladder(), *wrong, *search(ROWS)]).points) == 16


def test_too_few_points_name_the_keys_of_the_recipe() -> None:
    runs = [one for one in ladder() if one.tokens == LENGTHS[0]]
    with pytest.raises(InputError, match=r"4 points for the 5 constants[\s\S]*tune\.ladder\.rows or"):
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


def test_seeds_of_finalists_tell_the_scatter() -> None:
    again = [result("50k", 512_000, 0.01, above, seed=seed) for seed, above in enumerate((-0.001, 0.0, 0.001))]
    others = [result("100k", 512_000, 0.01, above, seed=seed) for seed, above in enumerate((0.0, 0.002))]
    spread = seed_spread([*again, *others, *ladder()])
    assert spread is not None and spread.freedom == 3
    assert spread.deviation == pytest.approx(np.sqrt((2e-6 + 2e-6) / 3), rel=1e-3)
    assert seed_spread(again[:1]) is None
    assert not any("seed alone" in words for words in made([*ladder(), *again]).marks)


def with_sweep(tune: Tune) -> Recipe:
    return load_recipe("tiny").model_copy(update={"tune": tune})


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"target": {"row": "60k", "tokens": 1}}, "no row '60k'"),
        (
            {"target": {"row": "odd", "tokens": 1}, "shapes": {"odd": {"width": 50, "heads": 4}}},
            r"row odd: .*heads is 4",
        ),
        ({"ladder": {"rows": ["50k", "1x", "2x"], "tokens": LENGTHS}}, "no row '1x'"),
        ({"ladder": {"rows": ["50k", "100k"], "tokens": LENGTHS}}, "2 rows and 4 lengths"),
        ({"ladder": {"rows": ROWS, "tokens": [1, 2]}}, "4 rows and 2 lengths"),
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
