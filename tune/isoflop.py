"""Best sizes for given compute read off parabolas: approach 2 of Hoffmann et al. 2022, a cross-check of the fitted law.

Runs of about the same compute 6 N D are a budget; its loss over log N is a parabola near the minimum. The power law of
the minima over compute gives N ∝ C^a without any formula for the loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..core.errors import InputError
from .laws import FLOPS_PER_PARAMETER
from .valleys import PowerFit, Valley, fit_power, fit_valley


@dataclass(frozen=True)
class Budget:
    """Runs of one budget and the valley of their loss over N."""

    flops: float  # geometric mean of its runs
    points: int
    valley: Valley  # its `best` is N

    @property
    def tokens(self) -> float:
        """D of the best N."""
        return self.flops / (FLOPS_PER_PARAMETER * self.valley.best)


def isoflop(parameters: ArrayLike, tokens: ArrayLike, losses: ArrayLike, tolerance: float = 0.1) -> list[Budget]:
    """The budgets, smallest first; runs whose 6 N D lies within `tolerance` of the next smaller one's share a budget.

    Budgets of fewer than three sizes have no parabola and are left out; InputError when that leaves none.
    """
    n, d, loss = (np.asarray(values, dtype=np.float64) for values in (parameters, tokens, losses))
    flops = FLOPS_PER_PARAMETER * n * d
    order = np.argsort(flops)
    cuts = np.flatnonzero(np.diff(np.log(flops[order])) > np.log1p(tolerance)) + 1
    groups = [group for group in np.split(order, cuts) if len(np.unique(n[group])) >= 3]
    if not groups:
        raise InputError(
            f"{len(n)} runs, but no three of different sizes with the same compute within {tolerance:.0%}",
            "choose tokens as compute / (6 · parameters) for three or more sizes, for each of several computes",
        )
    return [Budget(float(np.exp(np.log(flops[g]).mean())), len(g), fit_valley(n[g], loss[g])) for g in groups]


def best_sizes(budgets: Sequence[Budget]) -> PowerFit:
    """N = k · C^a through the minima that lie inside their grids. Raises InputError when fewer than two do."""
    inside = [budget for budget in budgets if budget.valley.edge is None]
    if len(inside) < 2:
        edges = ", ".join(f"{budget.flops:.3g}: {budget.valley.edge}" for budget in budgets if budget.valley.edge)
        raise InputError(
            f"{len(inside)} of {len(budgets)} budgets have their minimum inside the grid of sizes, a power law needs 2"
            + (f" (compute and end of the grid: {edges})" if edges else ""),
            "add sizes beyond the ends of the grids, or more budgets",
        )
    return fit_power({"flops": [b.flops for b in inside]}, [b.valley.best for b in inside], "IsoFLOP minima")
