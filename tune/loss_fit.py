"""The law of the loss fitted to measured points, with bootstrap intervals: approach 3 of Hoffmann et al. 2022.

log L is modelled as the log-sum-exp of e and gamma · s, s that of a - alpha log N and b - beta log D, and gamma 1
unless the two are coupled (`LossLaw`); Huber's loss with delta 1e-3 on its residuals is minimised by L-BFGS from a grid
of starts. Two things differ from the paper, neither moves the minimum: the objective is the sum over delta², because
the optimizer stops too early on tiny values (Besiroglu et al. 2024); and logs are taken from their mean, else a and
alpha are so correlated that it creeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from ..core.errors import InputError
from .laws import LossLaw

Array = NDArray[np.float64]
DELTA = 1e-3
NAMES = ("E", "A", "B", "alpha", "beta")
COUPLED = (*NAMES, "gamma")  # of a law whose gamma is fitted, and not 1
LEAST_EXPONENT, MOST_EXPONENT, LEAST_E = 1e-2, 3.0, -7.0  # where the search ends: what lies there is marked
LEAST_GAMMA = 0.05
_EXPONENTS = (LEAST_EXPONENT, MOST_EXPONENT)
_BOUNDS = {  # of e, a, b, alpha, beta, gamma
    False: [(LEAST_E, 5.0), (-30, 30), (-30, 30), _EXPONENTS, _EXPONENTS, (1.0, 1.0)],
    True: [(LEAST_E, 5.0), (-30, 30), (-30, 30), _EXPONENTS, _EXPONENTS, (LEAST_GAMMA, 1.0)],
}
_GAMMAS = {False: (1.0,), True: (0.15, 0.3, 0.6, 1.0)}  # where a search starts
_STARTS = 24
LEAST_SHARE = 1e-2  # of each term in the loss, where a search starts


@dataclass(frozen=True)
class LossFit:
    """A fitted law, and what its points say about how sure it is."""

    law: LossLaw
    draws: Array  # [draw, constant]: E, A, B, alpha, beta, gamma of points drawn again, with replacement
    residuals: Array  # [point]: log of measured over fitted loss
    marks: tuple[str, ...]  # what the reader must know before believing the constants
    coupled: bool = False  # whether gamma was fitted, and not 1

    @property
    def names(self) -> tuple[str, ...]:
        """Of the constants that were fitted."""
        return COUPLED if self.coupled else NAMES

    def intervals(self, level: float = 0.95) -> dict[str, tuple[float, float]]:
        """Bootstrap percentiles of each constant, and of `exponent`, the a of N ∝ C^a."""
        exponent = self.draws[:, 4] / (self.draws[:, 3] + self.draws[:, 4])
        columns = dict(zip(self.names, self.draws.T, strict=False)) | {"exponent": exponent}
        return {name: _middle(column, level) for name, column in columns.items()}

    def forecast(self, parameters: float, tokens: float, level: float = 0.95) -> tuple[float, float, float]:
        """The loss of one more run, and its interval: the law's own doubt, and the scatter of single runs about it."""
        losses = losses_of(self.draws, parameters, tokens)
        points = len(self.residuals)  # as many constants as there are have bent the law towards them
        spread = np.sqrt(points / max(1, points - len(self.names)))
        scattered = losses[:, None] * np.exp(spread * self.residuals[None, :])
        return float(self.law.loss(parameters, tokens)), *_middle(scattered.ravel(), level)

    def optimum(self, flops: float, level: float = 0.95) -> dict[str, tuple[float, float, float]]:
        """Best parameters and tokens for 6 N D = flops, each with its interval."""
        best = self.law.optimum(flops)
        drawn = np.array([_law(draw, "draw").optimum(flops) for draw in self.draws])
        return {name: (best[at], *_middle(drawn[:, at], level)) for at, name in enumerate(("parameters", "tokens"))}


def losses_of(constants: Array, parameters: ArrayLike, tokens: ArrayLike) -> Array:
    """The loss by each law of [law, 6] at each size and length: [law, …]."""
    n, d = np.asarray(parameters, dtype=np.float64), np.asarray(tokens, dtype=np.float64)
    e, a, b, alpha, beta, gamma = constants.T.reshape(6, -1, *([1] * n.ndim))
    return e + (a / n**alpha + b / d**beta) ** gamma


def fit_loss(
    parameters: ArrayLike,
    tokens: ArrayLike,
    losses: ArrayLike,
    draws: int = 200,
    seed: int = 0,
    source: str = "fitted",
    coupled: bool = False,
) -> LossFit:
    """Fit E, A, B, alpha, beta, and gamma where they are coupled, to arrays of one length: N, D, loss in nats a token.

    Raises InputError for values that are not positive and finite, for fewer points than constants, and for fewer than
    three different N or D, which leave an exponent open.
    """
    points = _checked(parameters, tokens, losses, names=COUPLED if coupled else NAMES)
    with threadpool_limits(1, user_api="blas"):  # of its few numbers L-BFGS would make work for two cores
        return _fit(points, draws, seed, source, coupled)


def refit(law: LossLaw, coupled: bool, parameters: Array, tokens: Array, losses: Array) -> Array:
    """Constants [draw, 6] of other losses [draw, point] of the same points, found from the law's constants on."""
    n, d = np.log(parameters), np.log(tokens)
    e, a, b = np.log([max(law.E, np.exp(LEAST_E)), law.A, law.B])
    start = np.array([e, a - law.alpha * n.mean(), b - law.beta * d.mean(), law.alpha, law.beta, law.gamma])
    with threadpool_limits(1, user_api="blas"):
        found = [_descend(start, n - n.mean(), d - d.mean(), loss, coupled)[0] for loss in np.log(losses)]
    return _constants(np.array(found), np.array([n.mean(), d.mean()]))


def _fit(points: Array, draws: int, seed: int, source: str, coupled: bool) -> LossFit:
    n, d, loss = np.log(points)
    centre = np.array([n.mean(), d.mean()])
    x, y = n - centre[0], d - centre[1]
    tried = (_descend(start, x, y, loss, coupled) for start in _starts(centre, x, y, loss, coupled))
    best = min(tried, key=lambda found: found[1])[0]
    drawn = []
    generator = np.random.default_rng(seed)
    while len(drawn) < draws:
        chosen = generator.integers(len(n), size=len(n))
        if _told(points[:, chosen]):  # else an exponent of this draw would be anything
            drawn.append(_descend(best, x[chosen], y[chosen], loss[chosen], coupled)[0])
    constants = _constants(np.array([best, *drawn]), centre)
    spans = [(float(values.min()), float(values.max())) for values in points[:2]]
    law = _law(constants[0], source).model_copy(update={"ranges": {"parameters": spans[0], "tokens": spans[1]}})
    residuals = loss - _log_loss(best[None], x, y)[0][0]
    return LossFit(law, constants[1:], residuals, _marks(best, len(n), coupled), coupled)


def _checked(*arrays: ArrayLike, names: tuple[str, ...]) -> Array:
    measures = ("parameters", "tokens", "loss")
    columns = [np.atleast_1d(np.asarray(values, dtype=np.float64)) for values in arrays]
    if len({column.shape for column in columns}) > 1:
        sizes = ", ".join(f"{name} {column.size}" for name, column in zip(measures, columns, strict=True))
        raise InputError(f"points of different lengths: {sizes}", "give one of each for every point")
    points = np.stack(columns)
    for name, column in zip(measures, points, strict=True):
        wrong = np.flatnonzero(~(np.isfinite(column) & (column > 0)))
        if wrong.size:
            raise InputError(
                f"point {wrong[0]}: {name} is {column[wrong[0]]}", "leave out runs that failed or diverged"
            )
    if points.shape[1] < len(names):
        raise InputError(
            f"{points.shape[1]} points for the {len(names)} constants {', '.join(names)}",
            f"measure at least {len(names)}, better three times as many, at three or more sizes and lengths",
        )
    if not _told(points):
        sizes, lengths = (len(np.unique(column)) for column in points[:2])
        raise InputError(
            f"{sizes} different parameters and {lengths} different tokens: an exponent needs three of each",
            "add runs of other rows, or of other lengths (tune.steps)",
        )
    return points


def _told(points: Array) -> bool:
    return all(len(np.unique(column)) >= 3 for column in points[:2])


def _log_loss(theta: Array, x: Array, y: Array) -> tuple[Array, Array]:
    """theta [start, 6] as e, a, b, alpha, beta, gamma: log L [start, point], and its slopes by e, a, b and gamma
    [start, point, 4]; those by a and b, over gamma, and by e are the terms' shares of L."""
    e, a, b, alpha, beta, gamma = theta.T[..., None]
    by_size, by_length = a - alpha * x, b - beta * y
    both = np.logaddexp(by_size, by_length)
    log = np.logaddexp(e, gamma * both)
    left = np.exp(gamma * both - log)
    slopes = (1 - left, left * gamma * np.exp(by_size - both), left * gamma * np.exp(by_length - both), left * both)
    return log, np.stack(np.broadcast_arrays(*slopes), axis=-1)


def _huber(residuals: Array) -> Array:
    """Huber's loss over delta², summed over points."""
    scaled = np.abs(residuals) / DELTA
    return np.where(scaled <= 1, scaled**2 / 2, scaled - 0.5).sum(axis=-1)


def _descend(start: Array, x: Array, y: Array, loss: Array, coupled: bool) -> tuple[Array, float]:
    def objective(theta: Array) -> tuple[float, Array]:
        log_loss, slopes = _log_loss(theta[None], x, y)
        residuals = log_loss[0] - loss
        pulls = (np.clip(residuals / DELTA, -1, 1) / DELTA)[:, None] * slopes[0]
        e, a, b, gamma = pulls.sum(axis=0)
        return float(_huber(residuals)), np.array([e, a, b, -(x * pulls[:, 1]).sum(), -(y * pulls[:, 2]).sum(), gamma])

    options = {"maxiter": 2000, "maxfun": 4000, "ftol": 1e-11, "gtol": 1e-5, "maxcor": 10}
    bounds = _BOUNDS[coupled]
    found = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    if not found.success:  # a line search that Huber's kinks stopped goes on when its memory is empty
        found = minimize(objective, found.x, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return found.x, float(found.fun)


def _starts(centre: Array, x: Array, y: Array, loss: Array, coupled: bool) -> Sequence[Array]:
    """Of the paper's grid (its appendix D.3), widened in e for losses of small models, those that fit best already."""
    exponents, factors = (0.25, 0.5, 1.0, 1.5, 2.0), (0.0, 5.0, 10.0, 15.0, 20.0, 25.0)
    e = (-1.0, -0.5, 0.0, 0.5, 1.0, 1.5)
    grid = np.array(list(product(e, factors, factors, exponents, exponents, _GAMMAS[coupled])))
    grid[:, 1:3] -= grid[:, 3:5] * centre
    grid = np.clip(grid, *np.array(_BOUNDS[coupled], dtype=np.float64).T)
    log, slopes = _log_loss(grid, x, y)
    # where a term has vanished there is no way back to it
    alive = (slopes[:, :, :3].mean(axis=1) > LEAST_SHARE).all(axis=1)
    order = np.argsort(_huber(log[alive] - loss))
    return list(grid[alive][order[:_STARTS]])


def _constants(theta: Array, centre: Array) -> Array:
    e, a, b, alpha, beta, gamma = theta.T
    factors = np.exp(a + alpha * centre[0]), np.exp(b + beta * centre[1])
    return np.column_stack([np.exp(e), *factors, alpha, beta, gamma])


def _law(constants: Array, source: str) -> LossLaw:
    return LossLaw(**dict(zip(COUPLED, map(float, constants), strict=True)), source=source)


def _marks(best: Array, points: int, coupled: bool) -> tuple[str, ...]:
    found = [
        f"{name} is at the end of what is searched ({value:g}): the points do not tell it"
        for name, value in zip(("alpha", "beta"), best[3:5], strict=True)
        if value < LEAST_EXPONENT * 1.01 or value > MOST_EXPONENT * 0.99
    ]
    if best[0] < LEAST_E + 0.01:
        found.append("E is 0: the points do not tell a loss that remains")
    constants = len(COUPLED if coupled else NAMES)
    if points < 2 * constants:
        found.append(f"{points} points for {constants} constants: the intervals are too narrow")
    return tuple(found)


def _middle(values: Array, level: float) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
