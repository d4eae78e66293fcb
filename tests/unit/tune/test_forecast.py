"""From results of a sweep to a forecast: the law, the interval, the rate, the marks, the errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crawl2chat.core.errors import InputError, RecipeError
from crawl2chat.core.progress import console
from crawl2chat.core.recipe import Recipe, load_recipe
from crawl2chat.core.run import Run
from crawl2chat.core.settings_tune import Tune
from crawl2chat.model.config import ModelConfig
from crawl2chat.tune.best_settings import best_settings, seed_spread
from crawl2chat.tune.checks import check_sweep
from crawl2chat.tune.forecast import Forecast, Verification, print_forecast, print_verification, write_forecast
from crawl2chat.tune.forecast_make import make_forecast, target_run
from crawl2chat.tune.laws import LossLaw
from crawl2chat.tune.plan import Trials
from crawl2chat.tune.report import numbers, read_report
from crawl2chat.tune.report_tables import outcome_table
from crawl2chat.tune.results import Result, Sweep
from crawl2chat.tune.rows import row_model, steps_of
from crawl2chat.tune.trial import Trial

VOCABULARY, NOW = 512, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LAW = LossLaw(E=1.8, A=30.0, B=400.0, alpha=0.3, beta=0.4, source="the truth")
ROWS, LENGTHS = ["50k", "100k", "250k", "500k"], [512_000, 1_024_000, 2_048_000, 4_096_000]
LADDER = {"rows": ROWS, "tokens": LENGTHS, "learning_rate": 0.01}
TUNE = Tune.model_validate({"batch": 4, "ladder": LADDER, "target": {"row": "1m", "tokens": 40_960_000}})
SEARCHED = Tune.model_validate(TUNE.model_dump() | {"ladder": LADDER | {"learning_rate": None}})
CARRIED = Tune.model_validate(SEARCHED.model_dump() | {"transfer": {"base": "50k"}})


RISING = ((0.01, 0.2), (0.02, 0.1), (0.04, 0.0))  # rates, and how far in log the loss lies above the lowest


class Long(Result):
    """With the length that a run was meant to have."""

    length: int = 0


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
    return Long.model_validate(values | other)


def search(rows: list[str], exponent: float = -0.4, **other: Any) -> list[Result]:
    """Five rates about each row's best, a power of its size."""
    found = []
    for row in rows:
        best = 0.02 * (result(row, 512_000, 1).parameters / 1e5) ** exponent
        found += [result(row, 512_000, best * x, 0.05 * np.log(x) ** 2, **other) for x in (0.25, 0.5, 1.0, 2.0, 4.0)]
    return found


def of_trial(trial: Trial, above: float) -> Result:
    """As a phase's results are made of their trials."""
    told = trial.model_dump(include={"phase", "seed", "values"}) | {
        "name": trial.name,
        "weight_decay": trial.optimizer.weight_decay,
        "batch_tokens": trial.tokens_per_step,
    }
    return result(trial.row, 512_000, trial.optimizer.learning_rate, above, **told)


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


def test_the_target_is_trained_at_the_ladder_s_rate_whatever_the_law_says(whole: Forecast) -> None:
    assert whole.target is not None and whole.law_learning_rate is not None
    law = whole.best["learning_rate"]
    assert law is not None and law.exponents["parameters"] == pytest.approx(-0.4, abs=0.02)
    assert whole.law_learning_rate == pytest.approx(0.02 * (whole.target.parameters / 1e5) ** -0.4, rel=0.05)
    assert whole.best["batch_tokens"] is None
    assert whole.learning_rate == 0.01, "of the recipe's ladder"
    assert not any("law of the best learning rate" in words for words in whole.marks), "within a factor of 1.5"


def test_with_transfer_it_is_the_one_of_all_rows() -> None:
    results = [*ladder(transfer=True), *search(ROWS, transfer=True, exponent=-1.0)]
    forecast = made(results, CARRIED)
    assert forecast.learning_rate == 0.011, "the sweep's"
    assert made(results, CARRIED, rate=None).learning_rate == 0.01, "the ladder's runs', where the sweep tells none"
    assert forecast.law_learning_rate is not None and forecast.law_learning_rate < 0.011 / 1.5
    said = f"the law of the best learning rate says {forecast.law_learning_rate:.3g} (within a factor of 1"
    [mark] = [words for words in forecast.marks if words.startswith(said)]
    assert mark.endswith("), the target is trained at the ladder's 0.011, as the law of the loss was")


def test_without_transfer_it_is_the_rate_that_the_ladder_would_have_for_the_row() -> None:
    forecast = made([*ladder(), *search(ROWS[:2], exponent=-1.0)], SEARCHED, rate=0.5)
    assert forecast.target is not None
    assert forecast.learning_rate == pytest.approx(0.02 * (forecast.target.parameters / 1e5) ** -1.0, rel=0.01)
    grid = [one.model_copy(update={"phase": "grid", "validation_loss": 1.0}) for one in search(["500k"])]
    again = made([*ladder(), *search(ROWS[:2], exponent=-1.0), *grid], SEARCHED)
    assert again.learning_rate == forecast.learning_rate, "the grid of the check is no search"
    with pytest.raises(InputError, match="no trial of the search has a loss"):
        made(ladder(), SEARCHED)


def test_the_file_has_the_fields_that_others_read(whole: Forecast, tmp_path: Path) -> None:
    raw = json.loads(write_forecast(tmp_path, whole).read_text(encoding="utf-8"))
    assert datetime.fromisoformat(raw["written"]) == NOW
    assert raw["code_version"] == "1.0+abc"
    assert (raw["level"], raw["draws"], raw["isoflop"]) == (0.95, 40, None)
    assert set(raw["target"]) == {"row", "parameters", "tokens", "flops"}
    assert set(raw["points"][0]) == {*raw["target"], "loss", "fitted"} and len(raw["points"]) == 16
    assert raw["points"][0]["fitted"] == pytest.approx(raw["points"][0]["loss"], rel=5e-3)
    assert LossLaw.model_validate(raw["law"]) == whole.law


def test_without_minima_there_is_no_law_of_the_rate() -> None:
    forecast = made(ladder())
    assert (forecast.learning_rate, forecast.law_learning_rate) == (0.01, None)
    assert forecast.best == {"learning_rate": None, "batch_tokens": None}
    assert any("no law of the best learning rate" in words for words in forecast.marks)


def test_a_law_without_an_interval_says_so() -> None:
    forecast = made([*ladder(), *search(ROWS[:2], exponent=-1.0)])
    assert forecast.best["learning_rate"] is not None and forecast.learning_rate == 0.01
    assert any("(without an interval, from too few minima), the target is trained at" in m for m in forecast.marks)


def test_the_check_of_asha_feeds_no_law() -> None:
    """Its grid is of another length and space, and without the finds of the search."""
    of_search = search(ROWS[:3])
    grid = [one.model_copy(update={"phase": "grid"}) for one in search(["500k"], exponent=0.5)]
    laws = [best_settings(results, transfer=False)[0]["learning_rate"] for results in (of_search, of_search + grid)]
    assert laws[0] is not None and laws[0] == laws[1]


def test_the_best_of_what_else_was_searched_counts_within_a_row() -> None:
    """Two shapes of as many parameters have each their own best rate, and so has each length."""
    narrow, wide = search(["50k"]), [one.model_copy(update={"row": "wide"}) for one in search(["50k"], exponent=0.5)]
    decayed = [one.model_copy(update={"validation_loss": one.rank * 1.1, "weight_decay": 0.5}) for one in narrow]
    laws, _ = best_settings([*narrow, *decayed, *wide, *search(ROWS[1:3])], transfer=False)
    fit, size = laws["learning_rate"], narrow[0].parameters / 1e5
    assert fit is not None and fit.law.ranges["parameters"][0] == narrow[0].parameters
    sizes = np.array([narrow[0].parameters] * 2 + [result(row, 1, 1).parameters for row in ROWS[1:3]]) / 1e5
    best = 0.02 * np.array([size**-0.4, size**0.5, *sizes[2:] ** -0.4])
    assert fit.law.exponents["parameters"] == pytest.approx(np.polyfit(np.log(sizes), np.log(best), 1)[0], rel=1e-3)


def test_batches_that_round_to_other_tokens_are_of_one_length() -> None:
    """Each batch alone has a minimum elsewhere: the best of all is that of the best batch."""
    found = []
    for one in search(ROWS[:3]):
        for batch, worse, tokens in ((4, 0.2, 511_800), (8, 0.0, 512_000), (16, 0.1, 512_300)):
            loss = one.rank * float(np.exp(worse))
            moved = {"batch_tokens": batch * 256, "tokens": tokens, "length": 512_000, "validation_loss": loss}
            found.append(one.model_copy(update=moved | {"name": f"{one.name}-{batch}"}))
    laws, marks = best_settings(found, transfer=False)
    assert laws["learning_rate"] is not None and laws["batch_tokens"] is not None
    assert laws["learning_rate"].law.exponents == {"parameters": pytest.approx(-0.4, abs=0.01)}
    assert 8 * 256 <= laws["batch_tokens"].law.value(parameters=1e5) < 12 * 256
    assert marks == []


def test_a_run_that_diverged_stands_at_each_length_that_it_did_not_end() -> None:
    """Else the highest rate that ended is the end of what was tried, and no minimum."""
    found = []
    for row in ROWS[:3]:
        for tokens in (256_000, 512_000):
            found += [result(row, tokens, rate, above, name=f"{row}-{rate}") for rate, above in RISING]
        lost = {"name": f"{row}-wild", "state": "diverged", "validation_loss": None}
        found.append(result(row, 1024, 0.08, **lost))
    laws, marks = best_settings(found, transfer=False)
    assert laws["learning_rate"] is not None and not any("end of learning rate" in words for words in marks)
    assert laws["learning_rate"].law.value(parameters=1e5, tokens=3e5) == pytest.approx(0.04)


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


def finalists() -> list[Result]:
    """Of a search its best trial of each row, and the same with other seeds, as a sweep makes them."""
    space = {"learning_rate": [5e-3, 1e-2], "weight_decay": [0.1]}
    recipe = with_sweep(Tune.model_validate({"rows": ["50k", "100k"], "space": space}))
    trials = Trials(recipe, Path("tokenizer.json"), [Path("t")], [Path("v")], Path("ray")).search()
    found = [of_trial(one, 0.1 if one.optimizer.learning_rate < 1e-2 else 0.0) for one in trials]
    for best, seeds in zip((trials[1], trials[3]), ((0.002,), (-0.001, 0.001)), strict=True):
        for seed, above in enumerate(seeds, start=recipe.seed + 1):
            again = best.with_values({"seed": seed}).model_copy(update={"phase": "finalists"})
            found.append(of_trial(again, above))
    return found


def test_seeds_of_finalists_tell_the_scatter() -> None:
    again = finalists()
    assert [one.row for one in again] == ["100k", "100k", "50k", "50k", "100k", "50k", "50k"]
    spread = seed_spread([*again, *ladder()])
    assert spread is not None and spread.freedom == 3
    assert spread.deviation == pytest.approx(np.sqrt((2e-6 + 2e-6) / 3), rel=1e-3)
    assert seed_spread(again[:4]) is None
    assert not any("seed alone" in words for words in made([*ladder(), *again]).marks)


def test_equal_runs_and_shorter_lengths_are_no_more_seeds() -> None:
    again = finalists()
    shorter = [one.model_copy(update={"tokens": 256_000, "validation_loss": one.rank * 1.2}) for one in again]
    twice = [one.model_copy(update={"name": f"{one.name}-2"}) for one in again]
    assert seed_spread([*again, *shorter, *twice]) == seed_spread(again)


def test_without_seeds_the_interval_says_what_it_rests_on() -> None:
    [mark] = [words for words in made(ladder()).marks if "seed alone" in words]
    assert "rests largely on an assumed scatter of runs, 0.4%, for 2 of its 3 degrees of freedom" in mark
    assert mark.endswith("set tune.finalists to measure it")


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
