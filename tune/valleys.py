"""Valleys of the loss over a setting, and power laws through their minima: the best learning rate and batch.

Near its minimum the loss is a parabola in the setting's logarithm; farther away it rises faster on the side of too
large a rate, so that only the points about the lowest one are fitted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student

from ..core.errors import InputError
from .laws import PowerLaw

Array = NDArray[np.float64]
NEIGHBOURS = 2  # grid points on each side of the lowest


@dataclass(frozen=True)
class Valley:
    """Where the loss is lowest.

    `edge` says that the minimum may lie beyond that end of the grid. With an edge, and without a curvature, as beside a
    run that diverged, `best` and `loss` are those of the grid's lowest point and not interpolated.
    """

    best: float
    loss: float
    edge: Literal["low", "high"] | None = None
    curvature: float | None = None  # of the loss over the natural log of the setting, per squared unit


@dataclass(frozen=True)
class PowerFit:
    """A fitted power law, and intervals of its exponents and factor: None with as many points as constants."""

    law: PowerLaw
    intervals: dict[str, tuple[float, float]] | None
    scatter: float  # standard deviation of log(measured / fitted)


def fit_valley(settings: ArrayLike, losses: ArrayLike) -> Valley:
    """The minimum over a grid of settings, such as learning rates; of equal ones the lowest loss counts.

    A loss of None or NaN is a run that diverged: not the grid's end, for beyond it there is nothing to be found.
    Raises InputError for fewer than three settings, or when none has a loss.
    """
    x, y = np.asarray(settings, dtype=np.float64), np.asarray(losses, dtype=np.float64)  # None becomes NaN
    if x.shape != y.shape or len(np.unique(x)) < 3:
        raise InputError(
            f"{len(np.unique(x))} settings and {y.size} losses: a valley needs three settings, each with a loss",
            "try three or more values, for example a third of the middle one, itself, and three times it",
        )
    if not (np.isfinite(x) & (x > 0)).all():
        raise InputError(f"the settings {x.tolist()} are not all above 0", "give positive numbers")
    y = np.where(np.isfinite(y), y, np.inf)
    grid = np.unique(x)
    lowest = np.array([y[x == value].min() for value in grid])
    if not np.isfinite(lowest).any():
        raise InputError(f"all of {grid.tolist()} diverged", "try smaller values")
    at = int(lowest.argmin())
    if at in (0, len(grid) - 1):
        return Valley(float(grid[at]), float(lowest[at]), "low" if at == 0 else "high")
    return _parabola(grid, lowest, at)


def _parabola(grid: Array, y: Array, at: int) -> Valley:
    """Through the points about the lowest; exactly through three when that of more has its minimum elsewhere."""
    x = np.log(grid)
    for reach in (NEIGHBOURS, 1) if np.isfinite(y[at - 1 : at + 2]).all() else ():
        around = slice(max(0, at - reach), at + reach + 1)
        finite = np.isfinite(y[around])
        near, loss = x[around][finite] - x[at], y[around][finite]
        square, slope, level = np.polyfit(near, loss, 2)
        vertex = -slope / (2 * square) if square > 0 else np.inf
        if x[at - 1] <= vertex + x[at] <= x[at + 1]:
            return Valley(
                float(np.exp(vertex + x[at])), float(level - slope**2 / (4 * square)), None, float(2 * square)
            )
    return Valley(float(grid[at]), float(y[at]))  # a run beside it diverged, or its neighbours lie as low


def fit_power(measures: Mapping[str, ArrayLike], values: ArrayLike, source: str, level: float = 0.95) -> PowerFit:
    """values = factor · Π measure^exponent, by least squares on logarithms, with Student's intervals.

    For example fit_power({"parameters": n, "tokens": d}, best_rates, "fitted"). Raises InputError for fewer points than
    constants, for measures that do not vary apart, and for what is not positive.
    """
    y = np.asarray(values, dtype=np.float64)
    columns = {name: np.asarray(column, dtype=np.float64) for name, column in measures.items()}
    for name, column in {**columns, "value": y}.items():
        if column.shape != y.shape or not (np.isfinite(column) & (column > 0)).all():
            raise InputError(f"{name}: {column.tolist()}", f"give {y.size} positive numbers")
    constants = 1 + len(columns)
    if y.size < constants:
        raise InputError(
            f"{y.size} points for the {constants} constants of a power law in {', '.join(columns)}",
            f"measure at least {constants}, better {constants + 2} or more",
        )
    logs = np.column_stack([np.log(column) for column in columns.values()])
    centred = logs - logs.mean(axis=0)
    if np.linalg.matrix_rank(centred, tol=1e-9) < len(columns):
        raise InputError(
            f"{', '.join(columns)} do not vary, or only together: their exponents cannot be told apart",
            "add runs in which each varies alone, or leave one out",
        )
    design = np.column_stack([np.ones(y.size), logs])
    found, *_ = np.linalg.lstsq(design, np.log(y), rcond=None)
    law = PowerLaw.model_validate(
        {
            "factor": np.exp(found[0]),
            "exponents": dict(zip(columns, map(float, found[1:]), strict=True)),
            "ranges": {name: (column.min(), column.max()) for name, column in columns.items()},
            "source": source,
        }
    )
    residuals, free = np.log(y) - design @ found, y.size - constants
    if free == 0:
        return PowerFit(law, None, 0.0)
    variance = float(residuals @ residuals) / free
    deviation = np.sqrt(np.diag(np.linalg.inv(design.T @ design)) * variance) * student.ppf((1 + level) / 2, free)
    spans = {name: (float(v - s), float(v + s)) for name, v, s in zip(columns, found[1:], deviation[1:], strict=True)}
    spans["factor"] = (float(np.exp(found[0] - deviation[0])), float(np.exp(found[0] + deviation[0])))
    return PowerFit(law, spans, float(np.sqrt(variance)))
