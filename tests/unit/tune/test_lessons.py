"""What a search teaches, from results whose truth is known."""

from __future__ import annotations

import math
from typing import Any

import pytest
from crawl2chat.core.errors import InputError
from crawl2chat.core.settings_space import Space
from crawl2chat.core.settings_tune import Tune
from crawl2chat.tune.finalists import finalists, means
from crawl2chat.tune.lessons import beyond_edges, bounds, drift, grid_factor, rates_for, valleys
from crawl2chat.tune.results import Finalist, Result
from crawl2chat.tune.trial import Trial

RATES = [1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2]
SIZES = {"s": 10_000, "m": 40_000, "l": 160_000}


def result(row: str, rate: float, loss: float | None, **more: Any) -> Result:
    values = {
        "name": f"{row}-lr{rate:g}", "row": row, "learning_rate": rate, "parameters": SIZES[row], "length": 1000,
        "steps": 10, "tokens": 1000, "validation_loss": loss, "bits_per_byte": loss, "seconds": 1.0,
        "state": "finished" if loss is not None else "diverged", "values": {"learning_rate": rate},
    }  # fmt: skip
    return Result.model_validate(values | more)


def valley(row: str, best: float, **more: Any) -> list[Result]:
    """A parabola in the log of the rate: 3 at its best, 0.1 more a factor of two from it."""
    return [result(row, rate, 3 + 0.1 * math.log2(rate / best) ** 2, **more) for rate in RATES]


def test_a_valley_is_found_between_the_rates() -> None:
    found = valleys(valley("s", 3e-3))[("s", False)]
    assert (found.best, found.loss, found.edge) == (pytest.approx(3e-3), pytest.approx(3.0), None)


def test_trials_that_a_scheduler_stopped_do_not_bend_it() -> None:
    """Stopped at a rung, they have the loss of a shorter training."""
    told = valley("s", 4e-3)
    told[4] = told[4].model_copy(update={"state": "stopped", "validation_loss": 9.0, "tokens": 100})
    assert valleys(told)[("s", False)].best == pytest.approx(4e-3)
    told[0] = told[0].model_copy(update={"state": "stopped", "validation_loss": 2.0, "tokens": 100})
    assert valleys(told)[("s", False)].best == pytest.approx(4e-3), "not even a loss that looks lower"


def test_a_trial_that_failed_is_not_a_wall() -> None:
    """Beyond a rate that diverged there is nothing; beyond one whose trial broke there may be."""
    rising = [result("s", rate, 3 - rate) for rate in RATES[:4]]
    assert valleys([*rising, result("s", RATES[4], None)])[("s", False)].edge is None
    for state in ("failed", "not started"):
        assert valleys([*rising, result("s", RATES[4], None, state=state)])[("s", False)].edge == "high"


def test_values_whose_best_is_at_an_end_are_said() -> None:
    def tried(decay: float, loss: float | None) -> Result:
        return result("s", 1e-3, loss, values={"learning_rate": 1e-3, "weight_decay": decay})

    space: Space = {"learning_rate": [1e-3], "weight_decay": [0.01, 0.1, 1.0], "schedule": ["wsd", "cosine"]}
    for losses, said in (
        ((3.0, 3.1, 3.2), "s: the lowest loss is at weight_decay 0.01, the low end"),
        ((3.2, 3.1, 3.0), "s: the lowest loss is at weight_decay 1, the high end"),
        ((3.1, 3.0, None), None),
        ((None, None, None), None),
    ):
        found = bounds([tried(*pair) for pair in zip((0.01, 0.1, 1.0), losses, strict=True)], space)
        assert [words.startswith(said or "") for words in found] == ([True] if said else [])
    [words] = bounds([result("m", 1e-3, 3.0), result("m", 2e-3, 2.9)], {"learning_rate": [1e-3, 2e-3]})
    assert words.startswith("m: two learning rates bound nothing")


def test_lengths_are_compared_by_what_was_asked_for() -> None:
    """Other batches round to other totals; and of several lengths the longest counts."""
    long = [one.model_copy(update={"tokens": 990 + place}) for place, one in enumerate(valley("s", 2e-3))]
    short = [one.model_copy(update={"length": 500, "tokens": 500}) for one in valley("s", 8e-3)]
    assert valleys([*short, *long])[("s", False)].best == pytest.approx(2e-3)
    branched = result("s", 3.2e-2, 9.0, state="stopped", tokens=1200)
    assert valleys([*long, branched])[("s", False)].best == pytest.approx(2e-3)


def test_drift_counts_grid_steps_from_the_smallest_row_to_the_largest() -> None:
    standard = [*valley("s", 8e-3), *valley("m", 4e-3), *valley("l", 2e-3)]
    carried = [*valley("s", 4e-3, transfer=True), *valley("l", 4e-3 * 2**0.25, transfer=True)]
    drifts, bounds = drift([*standard, *carried])
    assert drifts == {"standard": pytest.approx(-2.0), "transfer": pytest.approx(0.25)} and bounds == []
    edge = [result("l", rate, 3 + rate) for rate in RATES]
    drifts, bounds = drift([*valley("s", 8e-3), *edge])
    assert drifts == {"standard": pytest.approx(-3.0)} and bounds == ["standard"], "at least so far"
    lost = [result("l", rate, None) for rate in RATES]
    assert drift([*valley("s", 8e-3), *valley("m", 4e-3), *lost]) == ({}, []), "not that of the next smaller row"


def test_the_grids_factor_is_that_of_a_rows_own_rates() -> None:
    """Rows with grids of their own interleave."""
    told = [result("s", rate, 3.0) for rate in (1e-3, 3e-3, 9e-3)] + [result("m", rate, 3.0) for rate in (2e-3, 6e-3)]
    assert grid_factor(told) == pytest.approx(3.0)
    assert grid_factor(told[:1]) is None


def test_with_transfer_one_rate_serves_all_rows() -> None:
    told = [*valley("s", 2e-3, transfer=True), *valley("l", 8e-3, transfer=True), *valley("m", 1e-2)]
    assert rates_for({"x": 1, "y": 10**9}, told, True) == {"x": pytest.approx(4e-3), "y": pytest.approx(4e-3)}


def test_without_transfer_rates_follow_the_size() -> None:
    told = [*valley("s", 8e-3), *valley("m", 4e-3), *valley("l", 2e-3)]
    found = rates_for({"m": SIZES["m"], "xl": 640_000}, told, False)
    assert found == {"m": pytest.approx(4e-3), "xl": pytest.approx(1e-3, rel=1e-3)}, "a half for four times the size"


def test_finalists_decide_and_a_row_with_two_rates_has_its_best_trial() -> None:
    told = [*valley("s", 4e-3), result("m", 1e-3, 3.2), result("m", 2e-3, 3.1)]
    picked = [
        Finalist(
            name=f"s-lr{rate:g}", row="s", transfer=False, values={"learning_rate": rate}, seeds=3, mean=mean,
            deviation=0.1,
        )
        for rate, mean in ((4e-3, 3.05), (2e-3, 3.01))
    ]  # fmt: skip
    assert rates_for({"s": SIZES["s"], "m": SIZES["m"]}, told, False, picked) == {"s": 2e-3, "m": 2e-3}
    with pytest.raises(InputError, match="no trial of the search has a loss"):
        rates_for({"s": 1}, [result("s", 1e-3, None)], False)


def trial(rate: float, **values: Any) -> Trial:
    base = Trial.model_validate({
        "row": "s", "phase": "search", "model": {"layers": 1, "width": 32, "heads": 2, "context": 16}, "tokenizer": "",
        "train_paths": [], "validation_paths": [], "validation_rows": 1, "lengths": [1000], "report_tokens": 100,
        "batch": 4, "warmup_share": 0.1, "precision": "fp32", "seed": 7, "optimizer": {},
    })  # fmt: skip
    return base.with_values({"learning_rate": rate, **values})


def told_of(trials: list[Trial], losses: list[float]) -> list[Result]:
    return [
        result("s", one.optimizer.learning_rate, loss, name=one.name, values=one.values)
        for one, loss in zip(trials, losses, strict=True)
    ]


def test_a_grid_grows_by_its_own_step_with_the_other_values_of_its_best() -> None:
    trials = [trial(rate, weight_decay=decay) for rate in (1e-3, 2e-3, 4e-3) for decay in (0.0, 0.1)]
    [more] = beyond_edges(trials, told_of(trials, [5.0, 5.1, 4.5, 4.6, 4.2, 4.1]))
    assert (more.optimizer.learning_rate, more.optimizer.weight_decay) == (8e-3, 0.1)
    [less] = beyond_edges(trials, told_of(trials, [4.1, 4.2, 4.5, 4.6, 5.0, 5.1]))
    assert (less.optimizer.learning_rate, less.optimizer.weight_decay) == (5e-4, 0.0)
    assert beyond_edges(trials, told_of(trials, [5.0, 5.1, 4.0, 4.1, 4.2, 4.3])) == []


def test_finalists_are_the_best_trials_with_other_seeds() -> None:
    trials = [trial(rate) for rate in (1e-3, 2e-3, 4e-3)]
    told = told_of(trials, [4.2, 4.0, 4.1])
    told += [one.model_copy(update={"length": 500, "validation_loss": 4.5}) for one in told]  # shorter lengths of them
    best, again = finalists(trials, told, Tune(finalists=2, seeds=3), seed=7)
    assert [one.learning_rate for one in best] == [2e-3, 4e-3], "two trials, not two lengths of one"
    assert [(one.optimizer.learning_rate, one.seed) for one in again] == [(r, s) for r in (2e-3, 4e-3) for s in (8, 9)]
    assert len({one.name for one in again}) == 4 and {one.phase for one in again} == {"finalists"}
    losses = [4.3, 4.4, 4.0, 4.05]
    found = means(best, [
        result("s", one.optimizer.learning_rate, loss, name=one.name, values=one.values, phase="finalists")
        for one, loss in zip(again, losses, strict=True)
    ])  # fmt: skip
    assert [(one.values["learning_rate"], one.seeds) for one in found] == [(4e-3, 3), (2e-3, 3)]
    assert [one.mean for one in found] == [pytest.approx((4.1 + 4.0 + 4.05) / 3), pytest.approx((4.0 + 4.3 + 4.4) / 3)]
