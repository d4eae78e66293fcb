"""IsoFLOP parabolas find the exponent of the law that their points were drawn from."""

from __future__ import annotations

import numpy as np
import pytest
from crawl2chat.core.errors import InputError
from crawl2chat.tune.isoflop import best_sizes, isoflop
from crawl2chat.tune.laws import BESIROGLU, LossLaw

Runs = tuple[np.ndarray, np.ndarray, np.ndarray]


def runs(law: LossLaw, computes: list[float], spread: tuple[float, float] = (0.3, 3.3), noise: float = 0.0) -> Runs:
    """Seven sizes about the best one of each compute."""
    n = np.concatenate([law.optimum(c)[0] * np.geomspace(*spread, 7) for c in computes])
    d = np.repeat(computes, 7) / 6 / n
    return n, d, law.loss(n, d) * np.exp(np.random.default_rng(0).normal(0, noise, len(n)))


def test_the_exponent_is_that_of_the_law() -> None:
    computes = [1e18, 1e19, 1e20, 1e21]
    budgets = isoflop(*runs(BESIROGLU, computes, noise=3e-4))
    assert [budget.flops for budget in budgets] == pytest.approx(computes)
    assert [budget.points for budget in budgets] == [7] * 4
    for budget in budgets:
        parameters, tokens = BESIROGLU.optimum(budget.flops)
        assert budget.valley.edge is None
        assert budget.valley.best == pytest.approx(parameters, rel=0.25)
        assert budget.tokens * budget.valley.best * 6 == pytest.approx(budget.flops)
        assert budget.tokens == pytest.approx(tokens, rel=0.25)
    fit = best_sizes(budgets)
    assert fit.law.exponents["flops"] == pytest.approx(BESIROGLU.exponent, abs=0.03)
    assert fit.law.value(flops=1e22) == pytest.approx(BESIROGLU.optimum(1e22)[0], rel=0.3)


def test_compute_that_differs_a_little_is_one_budget() -> None:
    n, d, loss = runs(BESIROGLU, [1e19])
    budgets = isoflop(n, d * np.linspace(0.97, 1.03, 7), loss)
    assert len(budgets) == 1


def test_minima_on_the_ends_are_marked_and_left_out() -> None:
    inner, outer = runs(BESIROGLU, [1e18, 1e19]), runs(BESIROGLU, [1e20], spread=(2, 20))
    budgets = isoflop(*(np.concatenate(pair) for pair in zip(inner, outer, strict=True)))
    assert [budget.valley.edge for budget in budgets] == [None, None, "low"]
    assert best_sizes(budgets).law.ranges["flops"] == pytest.approx((1e18, 1e19))
    with pytest.raises(InputError, match="1 of 2 budgets.*1e\\+20: low"):
        best_sizes(budgets[1:])


def test_runs_that_share_no_compute() -> None:
    with pytest.raises(InputError, match="no three of different sizes"):
        isoflop([1e6, 2e6, 4e6], [1e7, 1e7, 1e7], [3, 2.9, 2.8])
