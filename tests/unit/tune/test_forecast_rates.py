"""The learning rate and the batch of a forecast: the ladder's, and what the laws of the best ones say."""

from __future__ import annotations

import numpy as np
import pytest
from crawl2chat.core.errors import InputError
from crawl2chat.tune.best_settings import best_settings

from .forecast_results import CARRIED, ROWS, SEARCHED, ladder, made, result, search

RISING = ((0.01, 0.2), (0.02, 0.1), (0.04, 0.0))  # rates, and how far in log the loss lies above the lowest


def test_the_target_is_trained_at_the_ladder_s_rate_whatever_the_law_says() -> None:
    whole = made([*ladder(), *search(ROWS)])
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
