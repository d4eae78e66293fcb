"""The law of the loss fitted to a ladder, with an interval for runs beyond it that is meant to be believed.

The points of a ladder are not independent: all lengths of a row come of one run, and all rows see the same tokens up to
a length. So log loss is modelled as law + run + length + point, a normal error of each kind, and losses are drawn again
from that model and fitted again: a parametric bootstrap. Drawing points again, as LossFit does, takes the lengths of a
run for so many runs; the law then bends to a run's luck, and does not know.

How large the errors are, the residuals tell in part: the law spends three constants on the sizes (E, A, alpha), so that
r rows leave r - 3 degrees of freedom for the errors of runs, of three rows none. What seeds of the search's finalists
tell is added, and a prior of 0.4 % (runs), 0.1 % (lengths) and 0.05 % (points), worth 2 degrees of freedom each: an
assumption, not a measurement, and weak, because runs of the smallest rows for some hundred steps lie 2 % apart.
Variances are drawn from the scaled inverse chi-squared posterior of all that, which gives Student's tails to few rows
(Gelman et al., Bayesian Data Analysis, section 2.6).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .laws import LossLaw
from .loss_fit import LossFit, fit_loss, refit

Array = NDArray[np.float64]
PRIOR = {"run": 4e-3, "length": 1e-3, "point": 5e-4}  # standard deviations of log loss
PRIOR_FREEDOM = 2


@dataclass(frozen=True)
class Spread:
    """A standard deviation of log loss, and the degrees of freedom that it was measured with."""

    deviation: float
    freedom: int


@dataclass(frozen=True)
class LadderFit:
    """`fit.draws` are of the losses drawn again; `errors` [draw] are those of one more run, of log loss."""

    fit: LossFit
    errors: Array

    @property
    def law(self) -> LossLaw:
        return self.fit.law

    def predict(self, parameters: ArrayLike, tokens: ArrayLike, level: float = 0.95) -> tuple[Any, Any, Any]:
        """The loss of one more run at each size and length, and the interval that it lies in."""
        n, d = np.asarray(parameters, dtype=np.float64), np.asarray(tokens, dtype=np.float64)
        e, a, b, alpha, beta = self.fit.draws.T.reshape(5, -1, *([1] * n.ndim))
        loss = self.law.loss(n, d)
        away = np.log((e + a / n**alpha + b / d**beta) / loss) + self.errors.reshape(-1, *([1] * n.ndim))
        low, high = np.quantile(away, [(1 - level) / 2, (1 + level) / 2], axis=0)
        return loss, loss * np.exp(low), loss * np.exp(high)


def fit_ladder(
    rows: Sequence[str],
    parameters: ArrayLike,
    tokens: ArrayLike,
    losses: ArrayLike,
    seeds: Spread | None = None,
    draws: int = 400,
    seed: int = 0,
    source: str = "fitted",
) -> LadderFit:
    """Fit arrays of one length: row, N, D, loss in nats a token. `seeds`: how far runs lie apart that differ in nothing
    but their seed. Raises what `fit_loss` raises."""
    fit = fit_loss(parameters, tokens, losses, draws=0, source=source)
    n, d = np.asarray(parameters, dtype=np.float64), np.asarray(tokens, dtype=np.float64)
    _, run = np.unique(list(rows), return_inverse=True)
    _, length = np.unique(d, return_inverse=True)
    generator = np.random.default_rng(seed)
    errors = np.zeros((draws, n.size + 1))  # the last column: one more run, at a length of its own
    measured = _spreads(fit.residuals, run, length)
    for kind, group in (("run", run), ("length", length), ("point", np.arange(n.size))):
        known = [measured[kind], *([seeds] if seeds and kind == "run" else [])]
        deviations = _deviations(known, PRIOR[kind], generator, draws)
        drawn = deviations[:, None] * generator.normal(size=(draws, group.max() + 2))
        errors += drawn[:, [*group, -1]]
    constants = refit(fit.law, n, d, fit.law.loss(n, d) * np.exp(errors[:, :-1]))
    return LadderFit(LossFit(fit.law, constants, fit.residuals, fit.marks), errors[:, -1])


def _spreads(residuals: Array, run: NDArray, length: NDArray) -> dict[str, Spread]:
    """Of means of a run's and of a length's residuals, and of what these leave over."""
    means = {"run": _means(residuals, run), "length": _means(residuals, length)}
    rest = residuals - means["run"][run] - means["length"][length] + residuals.mean()
    runs, lengths = len(means["run"]), len(means["length"])
    left = max(1, residuals.size - runs - lengths + 1)
    point = float(rest @ rest) / left
    found = {"point": Spread(point**0.5, left)}
    for kind, mean in means.items():
        freedom = max(0, len(mean) - 3)
        share = point * len(mean) / residuals.size  # of the points' scatter, in a mean
        variance = max(0.0, float(mean @ mean) / freedom - share) if freedom else 0.0
        found[kind] = Spread(variance**0.5, freedom)
    return found


def _means(values: Array, group: NDArray) -> Array:
    return np.bincount(group, values) / np.bincount(group)


def _deviations(known: Sequence[Spread], prior: float, generator: np.random.Generator, draws: int) -> Array:
    """Standard deviations [draw] of the posterior of a normal error's variance."""
    both = [*known, Spread(prior, PRIOR_FREEDOM)]
    squares = sum(one.freedom * one.deviation**2 for one in both)
    return np.sqrt(squares / generator.chisquare(sum(one.freedom for one in both), draws))
