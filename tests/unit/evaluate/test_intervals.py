"""Intervals against values from the literature, scipy, and the binomial itself."""

from __future__ import annotations

import numpy as np
import pytest
from crawl2chat.evaluate.intervals import bootstrap, wilson
from scipy.stats import binom, binomtest


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_is_the_published_one(successes: int, trials: int, low: float, high: float) -> None:
    assert wilson(successes, trials) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(("successes", "trials"), [(0, 1), (1, 1), (7, 9), (3776, 14042), (5, 5)])
def test_wilson_is_scipys(successes: int, trials: int) -> None:
    theirs = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    assert wilson(successes, trials) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_wilson_without_trials_and_at_the_ends() -> None:
    assert wilson(0, 0) == (0, 1)
    assert wilson(0, 10)[0] == 0 and wilson(10, 10)[1] == 1
    assert 0 < wilson(0, 10)[1] < 1 and 0 < wilson(10, 10)[0] < 1


@pytest.mark.parametrize("chance", [0.25, 0.5])
def test_wilson_covers_the_truth(chance: float) -> None:
    """The probability, over all counts of 200, that the interval holds the truth."""
    held = [low <= chance <= high for low, high in (wilson(count, 200) for count in range(201))]
    assert binom.pmf(np.arange(201), 200, chance)[held].sum() == pytest.approx(0.95, abs=0.02)


def test_bootstrap_is_the_normal_interval_of_a_mean() -> None:
    values = np.random.default_rng(1).normal(3, 2, (400, 1))
    half = 1.96 * values.std() / 20
    low, high = bootstrap([values], lambda means: means[0][:, 0])
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)
    assert (low, high) == bootstrap([values], lambda means: means[0][:, 0])


def test_bootstrap_draws_within_groups() -> None:
    """Two groups of equal items: the mean of their means does not vary, while that of all items drawn at once would."""
    groups = [np.zeros((10, 1)), np.ones((1000, 1))]
    assert bootstrap(groups, lambda means: (means[0] + means[1])[:, 0] / 2) == (0.5, 0.5)


def test_bootstrap_in_blocks_has_all_draws() -> None:
    seen: list[int] = []
    bootstrap([np.zeros((2_000_000, 1))], lambda means: seen.append(len(means[0])) or means[0][:, 0], draws=3)
    assert seen == [3]
