"""The fit of the loss's law finds what points were drawn from, says how sure it is, and refuses what tells nothing."""

from __future__ import annotations

import numpy as np
import pytest
from crawl2chat.core.errors import InputError
from crawl2chat.tune.laws import BESIROGLU, CHINCHILLA, LossLaw
from crawl2chat.tune.loss_fit import NAMES, fit_loss

# losses of models of some hundred thousand parameters: another E, tokens in millions
SMALL = LossLaw(E=3.2, A=140.0, B=900.0, alpha=0.35, beta=0.42, source="planted")


def drawn(law: LossLaw, noise: float, seed: int, points: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sizes, tokens and losses over the ranges of Hoffmann's points, or of runs on a laptop."""
    generator = np.random.default_rng(seed)
    size, length = ((5e4, 5e6), (1e5, 1e8)) if law is SMALL else ((7e7, 1.6e10), (5e9, 5e11))
    n = np.exp(generator.uniform(*np.log(size), points))
    d = np.exp(generator.uniform(*np.log(length), points))
    return n, d, law.loss(n, d) * np.exp(generator.normal(0, noise, points))


@pytest.mark.parametrize("law", [CHINCHILLA, BESIROGLU, SMALL], ids=["chinchilla", "besiroglu", "small"])
def test_without_noise_the_constants_come_back(law: LossLaw) -> None:
    fit = fit_loss(*drawn(law, 0, seed=3), draws=1)
    found = [getattr(fit.law, name) for name in NAMES]
    assert found == pytest.approx([getattr(law, name) for name in NAMES], rel=2e-2)
    assert np.abs(fit.residuals).max() < 1e-4
    assert fit.marks == ()


@pytest.mark.parametrize("law", [CHINCHILLA, BESIROGLU, SMALL], ids=["chinchilla", "besiroglu", "small"])
def test_with_noise_the_intervals_hold_the_constants(law: LossLaw) -> None:
    """99 % intervals, so that fifteen of them may all hold; and they are no wider than they have to be."""
    fit = fit_loss(*drawn(law, 2e-3, seed=1, points=200), draws=100)
    spans = fit.intervals(0.99)
    for name in (*NAMES, "exponent"):
        low, high = spans[name]
        assert low <= getattr(law, name) <= high, name
    assert spans["alpha"][1] - spans["alpha"][0] < 0.1
    assert spans["E"][1] - spans["E"][0] < 0.2


COUPLED = LossLaw(E=1.0, A=8e3, B=9e4, alpha=0.45, beta=0.6, gamma=0.3, source="planted")


def test_a_coupled_law_comes_back_by_its_losses() -> None:
    """Its constants are no numbers to compare, because many of them give nearly the same losses."""
    n, d, _ = drawn(SMALL, 0, seed=3)
    fit = fit_loss(n, d, COUPLED.loss(n, d), draws=3, coupled=True)
    assert fit.law.gamma < 0.6
    assert np.abs(fit.residuals).max() < 1e-3
    assert float(fit.law.loss(5e7, 1e9)) == pytest.approx(float(COUPLED.loss(5e7, 1e9)), rel=5e-3)
    assert "gamma" in fit.intervals()
    additive = fit_loss(n, d, COUPLED.loss(n, d), draws=1)
    assert additive.law.gamma == 1
    assert "gamma" not in additive.intervals()
    assert np.abs(additive.residuals).max() > 5 * np.abs(fit.residuals).max()


def test_one_wild_run_moves_little() -> None:
    n, d, loss = drawn(CHINCHILLA, 1e-4, seed=5)
    loss[7] *= 1.5
    fit = fit_loss(n, d, loss, draws=1)
    assert fit.law.alpha == pytest.approx(CHINCHILLA.alpha, abs=0.01)
    assert pytest.approx(1.69, abs=0.02) == fit.law.E
    assert fit.residuals[7] == pytest.approx(np.log(1.5), abs=0.01), "measured over fitted"


def test_the_forecast_of_a_larger_run() -> None:
    fit = fit_loss(*drawn(SMALL, 2e-3, seed=2), draws=100)
    value, low, high = fit.forecast(5e7, 1e9)
    truth = float(SMALL.loss(5e7, 1e9))
    assert low < truth < high
    assert value == pytest.approx(truth, rel=0.02)
    near = fit.forecast(1e6, 1e7)
    assert (near[2] - near[1]) / near[0] > 2 * 1.5e-3, "single runs scatter"
    assert (high - low) / value > (near[2] - near[1]) / near[0], "farther away it is less sure"


def test_the_optimum_and_its_interval() -> None:
    fit = fit_loss(*drawn(BESIROGLU, 2e-3, seed=4, points=120), draws=60)
    found = fit.optimum(1e21)
    for name, truth in zip(("parameters", "tokens"), BESIROGLU.optimum(1e21), strict=True):
        value, low, high = found[name]
        assert low < truth < high
        assert low < value < high
    assert 6 * found["parameters"][0] * found["tokens"][0] == pytest.approx(1e21)
    assert fit.law.beyond(parameters=1e12) != []


def test_the_same_seed_gives_the_same_intervals() -> None:
    points = drawn(SMALL, 1e-3, seed=6, points=20)
    one, two, other = (fit_loss(*points, draws=5, seed=seed).intervals() for seed in (1, 1, 2))
    assert one == two != other


def test_few_points_are_marked() -> None:
    fit = fit_loss(*drawn(SMALL, 1e-3, seed=7, points=6), draws=5)
    assert any("6 points for 5 constants" in words for words in fit.marks)


def test_a_loss_that_does_not_depend_on_the_size_is_marked() -> None:
    n, d, _ = drawn(SMALL, 0, seed=8)
    fit = fit_loss(n, d, 2 + 900 / d**0.42, draws=2)
    assert fit.marks or float(fit.law.A / n.min() ** fit.law.alpha) < 1e-2


@pytest.mark.parametrize(
    ("points", "match"),
    [
        (([1e6] * 4, [1e7] * 4, [3.0] * 4), "4 points for the 5 constants"),
        (([1e6, 2e6] * 4, [1e7, 2e7, 3e7, 4e7] * 2, [3.0] * 8), "2 different parameters and 4 different tokens"),
        (([1e6, 2e6, 3e6, 4e6, 5e6], [1e7] * 5, [3.0] * 5), "5 different parameters and 1 different tokens"),
        (([1e6] * 5, [1e7] * 5, [3.0, 3.0, float("nan"), 3.0, 3.0]), "point 2: loss is nan"),
        (([1e6, 0, 1e6, 1e6, 1e6], [1e7] * 5, [3.0] * 5), "point 1: parameters is 0"),
        (([1e6] * 5, [1e7] * 4, [3.0] * 5), "tokens 4"),
    ],
)
def test_what_tells_nothing_is_refused(points: tuple[list[float], list[float], list[float]], match: str) -> None:
    with pytest.raises(InputError, match=match) as caught:
        fit_loss(*points)
    assert caught.value.fix
