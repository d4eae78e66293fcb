"""How often the interval of a forecast holds the run that is then made; `-s` prints it."""

from __future__ import annotations

import numpy as np
import pytest
from crawl2chat.core.errors import InputError
from crawl2chat.tune.ladder_fit import Spread, fit_ladder
from crawl2chat.tune.laws import LossLaw
from crawl2chat.tune.loss_fit import fit_loss

LAW = LossLaw(E=1.8, A=30.0, B=400.0, alpha=0.3, beta=0.4, source="of a ladder from 80 thousand parameters on")
SIZES, LENGTHS = np.geomspace(8e4, 1.2e6, 5), np.geomspace(5e5, 4e6, 4)
TARGET = (SIZES[-1] * 3, LENGTHS[-1] * 4)  # 12 times the compute of the largest run
RUN, POINT, MISFIT = 2e-3, 5e-4, 1e-3  # of log loss


def ladder(generator: np.random.Generator) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray, float]:
    """Rows, N, D, losses, and the target's loss: each run has its own luck, each point some, and the law is not quite
    the truth, which has a slow wave in log N and in log D."""
    n, d = np.repeat(SIZES, len(LENGTHS)), np.tile(LENGTHS, len(SIZES))
    (wide, long), phases = generator.uniform(0.3, 1.0, 2), generator.uniform(0, 2 * np.pi, 2)

    def loss(n: np.ndarray, d: np.ndarray, luck: np.ndarray) -> np.ndarray:
        wave = np.sin(wide * np.log(n) + phases[0]) + np.sin(long * np.log(d) + phases[1])
        return LAW.loss(n, d) * np.exp(luck + generator.normal(0, POINT, n.shape) + MISFIT * wave)

    luck = np.repeat(generator.normal(0, RUN, len(SIZES)), len(LENGTHS))
    target = loss(np.array(TARGET[0]), np.array(TARGET[1]), generator.normal(0, RUN, ()))
    rows = [f"row-{number}" for number in np.repeat(np.arange(len(SIZES)), len(LENGTHS))]
    return rows, n, d, loss(n, d, luck), float(target)


@pytest.mark.slow
def test_the_interval_of_a_forecast_holds_the_truth() -> None:
    """With what two finalists of three seeds tell, as in a sweep."""
    held = {"ladder": 0, "points": 0}
    widths, tries = [], 20
    for seed in range(tries):
        generator = np.random.default_rng(seed)
        rows, n, d, losses, truth = ladder(generator)
        seeds = Spread(float(RUN * np.sqrt(generator.chisquare(4) / 4)), 4)
        fit = fit_ladder(rows, n, d, losses, seeds, draws=60)
        value, low, high = fit.predict(*TARGET)
        held["ladder"] += low <= truth <= high
        widths.append((high - low) / value)
        _, low, high = fit_loss(n, d, losses, draws=60).forecast(*TARGET)
        held["points"] += low <= truth <= high
    print({name: count / tries for name, count in held.items()}, "median width", np.median(widths))
    assert held["ladder"] >= 0.9 * tries
    assert np.median(widths) < 0.06, "an interval of everything holds everything"
    assert held["points"] < held["ladder"], "drawing points again takes the lengths of a run for runs"


def test_measured_seeds_outweigh_the_prior() -> None:
    rows, n, d, losses, _ = ladder(np.random.default_rng(1))
    widths = []
    for seeds in (None, Spread(1e-4, 50), Spread(1e-2, 50)):
        _, low, high = fit_ladder(rows, n, d, losses, seeds, draws=40).predict(*TARGET)
        widths.append(high - low)
    assert widths[1] < widths[0] < widths[2]


def test_the_interval_grows_on_the_way_and_takes_arrays() -> None:
    rows, n, d, losses, _ = ladder(np.random.default_rng(2))
    fit = fit_ladder(rows, n, d, losses, draws=40)
    value, low, high = fit.predict(SIZES[-1] * np.array([1.0, 10, 100]), LENGTHS[-1] * np.array([1.0, 10, 100]))
    assert value.shape == low.shape == high.shape == (3,)
    assert (np.diff((high - low) / value) > 0).all()
    one = fit.predict(SIZES[-1] * 10, LENGTHS[-1] * 10)
    assert [float(x) for x in one] == pytest.approx([value[1], low[1], high[1]])
    again = fit_ladder(rows, n, d, losses, draws=40)
    assert (again.fit.draws == fit.fit.draws).all(), "the same points give the same interval"


@pytest.mark.parametrize(("gamma", "chosen"), [(1.0, "additive"), (0.25, "coupled")])
def test_the_ladder_chooses_the_form_of_its_law(gamma: float, chosen: str) -> None:
    """By what either law, fitted to the smaller runs, says of the larger; the target tells that it was right."""
    truth = LossLaw(E=1.0, A=8e3, B=9e4, alpha=0.45, beta=0.6, gamma=gamma, source="planted") if gamma < 1 else LAW
    n, d = np.repeat(SIZES, 6), np.tile(np.geomspace(2e5, 2e7, 6), len(SIZES))
    rows = [f"row-{number}" for number in np.repeat(np.arange(len(SIZES)), 6)]
    losses = truth.loss(n, d) * np.exp(np.random.default_rng(3).normal(0, 2e-4, n.shape))
    fit = fit_ladder(rows, n, d, losses, draws=20)
    assert set(fit.misses) == {"additive", "coupled"}
    assert fit.fit.coupled == (chosen == "coupled")
    assert (fit.law.gamma < 1) == (chosen == "coupled")
    loss, low, high = fit.predict(SIZES[-1] * 2, 2e8)
    assert loss == pytest.approx(float(truth.loss(SIZES[-1] * 2, 2e8)), rel=0.01)
    assert low < float(truth.loss(SIZES[-1] * 2, 2e8)) < high


def test_so_few_runs_are_given_the_additive_law() -> None:
    rows, n, d, losses, _ = ladder(np.random.default_rng(4))
    keep = np.arange(len(n)) < 11
    fit = fit_ladder(
        [row for row, kept in zip(rows, keep, strict=True) if kept], n[keep], d[keep], losses[keep], draws=5
    )
    assert fit.misses == {}
    assert not fit.fit.coupled


def test_too_few_points() -> None:
    with pytest.raises(InputError, match="4 points for the 5 constants"):
        fit_ladder(["a", "a", "b", "b"], [1e5, 1e5, 2e5, 2e5], [1e6, 2e6, 1e6, 2e6], [5, 4.9, 4.8, 4.7])
