"""Valleys and power laws: planted minima come back, ends of grids are marked, too few points are errors."""

from __future__ import annotations

import numpy as np
import pytest
from crawl2chat.core.errors import InputError
from crawl2chat.tune.valleys import fit_power, fit_valley

GRID = np.array([1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2, 3.2e-2])


def bowl(rates: np.ndarray, best: float, steep: float = 0.1) -> np.ndarray:
    """Loss over learning rates: a parabola in the logarithm, and a wall on the side of large rates."""
    x = np.log(rates / best)
    return 3 + steep * x**2 + 0.3 * np.maximum(0, x - 1.5) ** 3


@pytest.mark.parametrize("best", [2.2e-3, 5e-3, 9e-3, 1.4e-2])
def test_a_planted_optimum_comes_back(best: float) -> None:
    valley = fit_valley(GRID, bowl(GRID, best))
    assert valley.edge is None
    assert valley.best == pytest.approx(best, rel=0.1)
    assert valley.loss == pytest.approx(3, abs=0.01)
    assert valley.curvature == pytest.approx(0.2, rel=0.5)


def test_exactly_on_a_parabola() -> None:
    valley = fit_valley(GRID[:4], 3 + 0.1 * np.log(GRID[:4] / 3e-3) ** 2)
    assert (valley.best, valley.loss, valley.curvature) == pytest.approx((3e-3, 3.0, 0.2))


def test_noise_moves_it_by_less_than_a_step() -> None:
    found = []
    for seed in range(30):
        noise = np.random.default_rng(seed).normal(0, 5e-3, len(GRID))
        found.append(fit_valley(GRID, bowl(GRID, 5e-3) + noise).best)
    assert np.abs(np.log2(np.array(found) / 5e-3)).max() < 1
    assert abs(np.log2(np.median(found) / 5e-3)) < 0.2


@pytest.mark.parametrize(("best", "edge"), [(1e-4, "low"), (0.1, "high")])
def test_a_minimum_on_the_grid_s_end_is_marked(best: float, edge: str) -> None:
    valley = fit_valley(GRID, 0.1 * np.log(GRID / best) ** 2)
    assert valley.edge == edge
    assert valley.best in (GRID[0], GRID[-1])
    assert valley.curvature is None


def test_a_run_that_diverged_bounds_the_valley() -> None:
    """Beside it nothing is interpolated, and the grid does not end there."""
    valley = fit_valley([1e-3, 2e-3, 4e-3, 8e-3], [3.2, 3.1, 3.0, None])
    assert (valley.best, valley.loss, valley.edge, valley.curvature) == (4e-3, 3.0, None, None)


def test_of_equal_settings_the_lowest_counts() -> None:
    once = fit_valley(GRID, bowl(GRID, 5e-3))
    twice = fit_valley([*GRID, *GRID], [*(bowl(GRID, 5e-3) + 0.5), *bowl(GRID, 5e-3)])
    assert once == twice


@pytest.mark.parametrize(
    ("settings", "losses", "match"),
    [
        ([1e-3, 2e-3], [3.0, 3.1], "2 settings"),
        ([1e-3, 1e-3, 2e-3], [3.0, 3.1, 3.2], "2 settings"),
        ([1e-3, 2e-3, 4e-3], [3.0, 3.1], "3 settings and 2 losses"),
        ([0, 2e-3, 4e-3], [3.0, 3.1, 3.2], "not all above 0"),
        ([1e-3, 2e-3, 4e-3], [None, None, float("nan")], "diverged"),
    ],
)
def test_no_valley(settings: list[float], losses: list[float], match: str) -> None:
    with pytest.raises(InputError, match=match):
        fit_valley(settings, losses)


def test_a_power_law_comes_back_within_its_intervals() -> None:
    """The Step Law of the learning rate, from 12 noisy optima."""
    generator = np.random.default_rng(0)
    n, d = (
        np.exp(generator.uniform(np.log(1e5), np.log(1e9), 12)),
        np.exp(generator.uniform(np.log(1e7), np.log(1e11), 12)),
    )
    best = 1.79 * n**-0.713 * d**0.307
    fit = fit_power({"parameters": n, "tokens": d}, best * np.exp(generator.normal(0, 0.05, 12)), "planted")
    assert fit.intervals is not None
    for name, truth in (("parameters", -0.713), ("tokens", 0.307), ("factor", 1.79)):
        low, high = fit.intervals[name]
        assert low < truth < high
    assert fit.intervals["tokens"][1] - fit.intervals["tokens"][0] < 0.1
    assert fit.scatter == pytest.approx(0.05, rel=0.5)
    assert fit.law.value(parameters=1e7, tokens=1e9) == pytest.approx(1.79 * 1e7**-0.713 * 1e9**0.307, rel=0.1)
    assert fit.law.ranges["tokens"] == (d.min(), d.max())


def test_as_many_points_as_constants_have_no_interval() -> None:
    fit = fit_power({"parameters": [1e5, 1e7]}, [1e-2, 1e-3], "two")
    assert fit.law.exponents["parameters"] == pytest.approx(-0.5)
    assert fit.intervals is None


@pytest.mark.parametrize(
    ("measures", "values", "match"),
    [
        ({"parameters": [1e5]}, [1e-2], "1 points for the 2 constants"),
        ({"parameters": [1e5, 1e6], "tokens": [1e6, 1e8]}, [1e-2, 1e-3], "2 points for the 3 constants"),
        ({"parameters": [1e5, 1e5, 1e5]}, [1e-2, 1e-2, 1e-2], "do not vary"),
        ({"parameters": [1e5, 1e6, 1e7, 1e8], "tokens": [2e6, 2e7, 2e8, 2e9]}, [4, 3, 2, 1], "only together"),
        ({"parameters": [1e5, 1e6]}, [1e-2, 0], "value"),
        ({"parameters": [1e5, -1]}, [1e-2, 1e-3], "parameters"),
    ],
)
def test_no_power_law(measures: dict[str, list[float]], values: list[float], match: str) -> None:
    with pytest.raises(InputError, match=match) as caught:
        fit_power(measures, values, "x")
    assert caught.value.fix
