"""The law of the loss fitted to a ladder, with an interval for runs beyond it that is meant to be believed.

The points of a ladder are not independent: all lengths of a row come of one run, and all rows see the same tokens up to
a length. So log loss is modelled as law + run + length + point, a normal error of each kind, and losses are drawn again
from that model and fitted again: a parametric bootstrap. Drawing points again, as LossFit does, takes the lengths of a
run for so many runs; the law then bends to a run's luck, and does not know.

How large the errors are, the residuals tell in part: the law spends three constants on the sizes (E, A, alpha; four
where it has gamma), so that r rows leave r - 3 degrees of freedom for the errors of runs, of three rows none. What
seeds of the search's finalists tell is added, and a prior of 0.4 % (runs), 0.1 % (lengths) and 0.05 % (points), worth 2
degrees of freedom each: an assumption, not a measurement, and weak, because runs of the smallest rows for some hundred
steps lie 2 % apart. Variances are drawn from the scaled inverse chi-squared posterior of all that, which gives
Student's tails to few rows (Gelman et al., Bayesian Data Analysis, section 2.6).

The law is additive (Hoffmann et al. 2022) unless the ladder itself speaks for the coupled one (`LossLaw`): both are
fitted to the runs below a quarter of its largest compute, and the coupled one is taken when it then misses the others
by less than half of what the additive one does. Small models trained far beyond the best length for their size are
where the additive law errs first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..core.errors import InputError
from .laws import LossLaw
from .loss_fit import COUPLED, LossFit, fit_loss, losses_of, refit

Array = NDArray[np.float64]
PRIOR = {"run": 4e-3, "length": 1e-3, "point": 5e-4}  # standard deviations of log loss
PRIOR_FREEDOM = 2
HELD_OUT = 4  # runs of more than a share of 1 / HELD_OUT of the largest compute choose the law
CLEARLY = 0.5  # of the additive law's miss: below that share the coupled law, which has a constant more, is taken
SURE = 2  # runs for each constant, without which no choice is made


@dataclass(frozen=True)
class Spread:
    """A standard deviation of log loss, and the degrees of freedom that it was measured with."""

    deviation: float
    freedom: int


@dataclass(frozen=True)
class LadderFit:
    """`fit.draws` are of the losses drawn again; `errors` [draw] are those of one more run, of log loss. `misses`: by
    how much, as a share (root mean square), each law fitted to the smaller runs missed the larger; empty with so few
    runs that the additive law was taken without it."""

    fit: LossFit
    errors: Array
    misses: dict[str, float]

    @property
    def law(self) -> LossLaw:
        return self.fit.law

    def predict(self, parameters: ArrayLike, tokens: ArrayLike, level: float = 0.95) -> tuple[Any, Any, Any]:
        """The loss of one more run at each size and length, and the interval that it lies in."""
        n, d = np.asarray(parameters, dtype=np.float64), np.asarray(tokens, dtype=np.float64)
        loss = self.law.loss(n, d)
        away = np.log(losses_of(self.fit.draws, n, d) / loss) + self.errors.reshape(-1, *([1] * n.ndim))
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
    n, d, loss = (np.asarray(values, dtype=np.float64) for values in (parameters, tokens, losses))
    misses = _held_out(n, d, loss)
    coupled = bool(misses) and misses["coupled"] < CLEARLY * misses["additive"]
    fit = fit_loss(n, d, loss, draws=0, source=source, coupled=coupled)
    _, run = np.unique(list(rows), return_inverse=True)
    _, length = np.unique(d, return_inverse=True)
    generator = np.random.default_rng(seed)
    errors = np.zeros((draws, n.size + 1))  # the last column: one more run, at a length of its own
    measured = _spreads(fit.residuals, run, length, spent=3 + coupled)
    for kind, group in (("run", run), ("length", length), ("point", np.arange(n.size))):
        known = [measured[kind], *([seeds] if seeds and kind == "run" else [])]
        deviations = _deviations(known, PRIOR[kind], generator, draws)
        drawn = deviations[:, None] * generator.normal(size=(draws, group.max() + 2))
        errors += drawn[:, [*group, -1]]
    constants = refit(fit.law, coupled, n, d, fit.law.loss(n, d) * np.exp(errors[:, :-1]))
    return LadderFit(replace(fit, draws=constants), errors[:, -1], misses)


def _held_out(n: Array, d: Array, losses: Array) -> dict[str, float]:
    """By how much each law, fitted to the runs of little compute, misses the others."""
    if not n.shape == d.shape == losses.shape or n.size < SURE * len(COUPLED):
        return {}
    small = n * d < (n * d).max() / HELD_OUT
    misses = {}
    for name in ("additive", "coupled"):
        try:
            fit = fit_loss(n[small], d[small], losses[small], draws=0, coupled=name == "coupled")
        except InputError:  # the smaller ones alone do not carry a law
            return {}
        away = np.log(losses[~small] / fit.law.loss(n[~small], d[~small]))
        misses[name] = float(np.sqrt(np.mean(away**2)))
    return misses


def _spreads(residuals: Array, run: NDArray, length: NDArray, spent: int) -> dict[str, Spread]:
    """Of means of a run's and of a length's residuals, and of what these leave over. spent: constants of the law on
    either."""
    means = {"run": _means(residuals, run), "length": _means(residuals, length)}
    rest = residuals - means["run"][run] - means["length"][length] + residuals.mean()
    runs, lengths = len(means["run"]), len(means["length"])
    left = max(1, residuals.size - runs - lengths + 1)
    point = float(rest @ rest) / left
    found = {"point": Spread(point**0.5, left)}
    for kind, mean in means.items():
        freedom = max(0, len(mean) - spent)
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
