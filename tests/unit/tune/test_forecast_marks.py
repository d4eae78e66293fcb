"""What a forecast says against itself: missing laws, minima at an end, short ways, lost runs, few seeds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from crawl2chat.core.settings_tune import Tune
from crawl2chat.tune.best_settings import seed_spread
from crawl2chat.tune.plan import Trials
from crawl2chat.tune.results import Result

from .forecast_results import ROWS, TUNE, ladder, made, of_trial, search, with_sweep


def test_without_minima_there_is_no_law_of_the_rate() -> None:
    forecast = made(ladder())
    assert (forecast.learning_rate, forecast.law_learning_rate) == (0.01, None)
    assert forecast.best == {"learning_rate": None, "batch_tokens": None}
    assert any("no law of the best learning rate" in words for words in forecast.marks)


def test_a_law_without_an_interval_says_so() -> None:
    forecast = made([*ladder(), *search(ROWS[:2], exponent=-1.0)])
    assert forecast.best["learning_rate"] is not None and forecast.learning_rate == 0.01
    assert any("(without an interval, from too few minima), the target is trained at" in m for m in forecast.marks)


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
