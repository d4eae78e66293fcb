"""What a search teaches: the best rates, how far they drift with the width, which grids end too soon."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..core.errors import InputError
from .results import Result
from .trial import Trial
from .valleys import Valley, fit_power, fit_valley

Group = tuple[str, bool]  # row, transfer


def valleys(results: Sequence[Result]) -> dict[Group, Valley]:
    """Of the loss over the learning rate, at the longest length, for each row with transfer and without that has three
    rates or more.

    Of what else was searched, the best value at each rate counts. A trial that a scheduler stopped stands at the loss
    that it was stopped at: it was among the worse.
    """
    found: dict[Group, Valley] = {}
    started = [result for result in results if result.state != "not started"]
    for group in dict.fromkeys((result.row, result.transfer) for result in started):
        here = _longest([result for result in started if (result.row, result.transfer) == group])
        losses = [math.nan if result.validation_loss is None else result.validation_loss for result in here]
        try:
            found[group] = fit_valley([result.learning_rate for result in here], losses)
        except InputError:
            continue
    return found


def _longest(results: Sequence[Result]) -> list[Result]:
    """Without the shorter lengths of trials that have several."""
    longest = max(result.tokens for result in results)
    return [result for result in results if result.state != "finished" or result.tokens == longest]


def beyond_edges(trials: Sequence[Trial], results: Sequence[Result]) -> list[Trial]:
    """A trial more for each group whose best rate is at its grid's end, one step beyond it."""
    more = []
    for (row, transfer), valley in valleys(results).items():
        if valley.edge is None:
            continue
        here = [result for result in results if (result.row, result.transfer) == (row, transfer)]
        best = min(here, key=lambda result: result.rank)
        rates = sorted({result.learning_rate for result in here})
        rate = rates[0] ** 2 / rates[1] if valley.edge == "low" else rates[-1] ** 2 / rates[-2]
        [like] = [trial for trial in trials if trial.name == best.name]
        more.append(like.with_values({"learning_rate": float(f"{rate:.4g}")}))
    return more


def grid_factor(results: Sequence[Result]) -> float | None:
    """From one learning rate of the grid to the next: the median ratio."""
    rates = sorted({result.learning_rate for result in results})
    return float(np.exp(np.median(np.diff(np.log(rates))))) if len(rates) > 1 else None


def drift(results: Sequence[Result]) -> dict[str, float]:
    """Grid steps between the best rates of the smallest and the largest row, with transfer and without."""
    factor, found = grid_factor(results), valleys(results)
    sizes = {result.row: result.parameters for result in results}
    drifts = {}
    for name, transfer in (("transfer", True), ("standard", False)):
        here = {row: valley.best for (row, with_transfer), valley in found.items() if with_transfer == transfer}
        if len(here) > 1 and factor is not None:
            small, large = (pick(here, key=lambda row: sizes[row]) for pick in (min, max))
            drifts[name] = math.log(here[large] / here[small]) / math.log(factor)
    return drifts


def rates_for(rows: dict[str, int], results: Sequence[Result], transfer: bool) -> dict[str, float]:
    """The learning rate of each of `rows` (parameters by name), from what the search found.

    With transfer one rate serves all: the geometric mean of the best ones. Without, a row's own best, or that of a
    power law through those of the others. Raises InputError when nothing was found.
    """
    best = {row: valley.best for (row, with_transfer), valley in valleys(results).items() if with_transfer == transfer}
    for result in sorted(results, key=lambda result: result.rank):  # of rows with too few rates for a valley
        if result.validation_loss is not None and result.transfer == transfer:
            best.setdefault(result.row, result.learning_rate)
    if not best:
        raise InputError("no trial of the search has a loss", "lower tune.space.learning_rate")
    mean = float(np.exp(np.mean(np.log(list(best.values())))))
    if transfer or len(best) < 2:
        return dict.fromkeys(rows, float(f"{mean:.4g}"))
    sizes = {result.row: result.parameters for result in results}
    law = fit_power({"parameters": [sizes[row] for row in best]}, list(best.values()), "the search").law
    return {row: float(f"{best.get(row) or law.value(parameters=size):.4g}") for row, size in rows.items()}
