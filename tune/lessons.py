"""What a search teaches: the best rates, how far they drift with the width, which grids end too soon."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from ..core.errors import InputError
from ..core.settings_space import Space
from .results import Finalist, Result
from .trial import Trial
from .valleys import Valley, fit_power, fit_valley

Group = tuple[str, bool]  # row, transfer


def valleys(results: Sequence[Result]) -> dict[Group, Valley]:
    """Of the loss over the learning rate, at the longest length, for each row with transfer and without that has three
    rates or more.

    Of what else was searched, the best value at each rate counts. A trial that a scheduler stopped was among the worse:
    it bounds the valley as a diverged one does, and its loss, of another length, is not compared.
    """
    found: dict[Group, Valley] = {}
    told = [result for result in results if result.state in ("finished", "stopped", "diverged")]
    for group in dict.fromkeys((result.row, result.transfer) for result in told):
        here = [result for result in told if (result.row, result.transfer) == group]
        longest = max((result.asked for result in here if result.state == "finished"), default=0)
        here = [result for result in here if result.asked == longest or result.state != "finished"]
        losses = [result.rank if result.state == "finished" else math.nan for result in here]
        with suppress(InputError):
            found[group] = fit_valley([result.learning_rate for result in here], losses)
    return found


def beyond_edges(trials: Sequence[Trial], results: Sequence[Result]) -> list[Trial]:
    """A trial more for each group whose best rate is at its grid's end, one step beyond it."""
    more = []
    for (row, transfer), valley in valleys(results).items():
        if valley.edge is None:
            continue
        here = [one for one in results if (one.row, one.transfer) == (row, transfer) and one.phase == "search"]
        best = min(here, key=lambda result: result.rank)
        rates = sorted({result.learning_rate for result in here})
        rate = rates[0] ** 2 / rates[1] if valley.edge == "low" else rates[-1] ** 2 / rates[-2]
        [like] = [trial for trial in trials if trial.name == best.name]
        more.append(like.with_values({"learning_rate": float(f"{rate:.4g}")}))
    return more


def bounds(results: Sequence[Result], space: Space) -> list[str]:
    """In words, where a best value of a grid says less than it seems to: it is at the end of what was tried, or two
    rates were tried, of which one must be the better."""
    found = []
    for group in dict.fromkeys((result.row, result.transfer) for result in results):
        name = f"{group[0]} with transfer" if group[1] else group[0]
        here = [one for one in results if (one.row, one.transfer) == group and one.validation_loss is not None]
        if len({result.learning_rate for result in here}) == 2:
            found.append(f"{name}: two learning rates bound nothing, the better one is at an end; try values beyond it")
        best = min(here, key=lambda result: result.rank, default=None)
        for key, values in space.items():
            if key == "learning_rate" or best is None or not isinstance(values, list):
                continue
            tried = sorted(value for value in values if isinstance(value, int | float))
            if len(tried) > 1 and best.values.get(key) in (tried[0], tried[-1]):
                end = f"the {'low' if best.values[key] == tried[0] else 'high'} end of the values tried"
                found.append(f"{name}: the lowest loss is at {key} {best.values[key]:g}, {end}; try values beyond it")
    return found


def grid_factor(results: Sequence[Result]) -> float | None:
    """From one learning rate of a row's grid to the next: the median ratio. Rows may have grids of their own."""
    steps: list[float] = []
    for row in {(result.row, result.transfer) for result in results}:
        rates = sorted({result.learning_rate for result in results if (result.row, result.transfer) == row})
        steps += np.diff(np.log(rates)).tolist()
    return float(np.exp(np.median(steps))) if steps else None


def drift(results: Sequence[Result]) -> tuple[dict[str, float], list[str]]:
    """Grid steps from the best rate of the smallest row to that of the largest, with transfer and without; and which of
    these are bounds, because one of the two rates is at its grid's end.

    Nothing where one of the two rows has no valley: all its trials diverged, or it has fewer than three rates.
    """
    factor, found = grid_factor(results), valleys(results)
    sizes = {result.row: result.parameters for result in results}
    if factor is None or len(sizes) < 2:
        return {}, []
    small, large = (pick(sizes, key=lambda row: sizes[row]) for pick in (min, max))
    drifts, bounds = {}, []
    for name, transfer in (("transfer", True), ("standard", False)):
        ends = [found.get((row, transfer)) for row in (small, large)]
        if ends[0] is not None and ends[1] is not None:
            drifts[name] = math.log(ends[1].best / ends[0].best) / math.log(factor)
            bounds += [name] if ends[0].edge or ends[1].edge else []
    return drifts, bounds


def rates_for(
    rows: dict[str, int], results: Sequence[Result], transfer: bool, finalists: Sequence[Finalist] = ()
) -> dict[str, float]:
    """The learning rate of each of `rows` (parameters by name), from what the search found.

    With transfer one rate serves all: the geometric mean of the best ones. Without, a row's own best, or that of a
    power law through those of the others. A row's best is its finalist's with the lowest mean, else its valley's
    minimum, else its best trial's. Raises InputError when nothing was found.
    """
    best: dict[str, float] = {}
    for one in sorted(finalists, key=lambda one: one.mean):
        if one.transfer == transfer and "learning_rate" in one.values:
            best.setdefault(one.row, float(one.values["learning_rate"]))
    for (row, with_transfer), valley in valleys(results).items():
        if with_transfer == transfer:
            best.setdefault(row, valley.best)
    for result in sorted(results, key=lambda result: result.rank):
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
