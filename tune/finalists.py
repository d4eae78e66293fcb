"""The best trials of a search once more, with other seeds: by the mean a winner is told from luck."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..core.settings_tune import Tune
from .results import Finalist, Result
from .trial import Trial


def finalists(
    searched: Sequence[Trial], results: Sequence[Result], settings: Tune, seed: int
) -> tuple[list[Result], list[Trial]]:
    """Of each row, with transfer and without, the best `settings.finalists` trials by the loss at their longest length;
    and each of them with the seeds after `seed`, `settings.seeds` in all with its own."""
    groups: dict[tuple[str, bool], list[Result]] = {}
    for result in sorted(results, key=lambda result: result.rank):
        here = groups.setdefault((result.row, result.transfer), [])
        if result.state == "finished" and result.phase == "search" and result.name not in {one.name for one in here}:
            here.append(result)
    best = [one for found in groups.values() for one in found[: settings.finalists]]
    again = []
    for result in best:
        like = next(
            one for one in searched if (one.row, one.model.transfer is not None) == (result.row, result.transfer)
        )
        base = like.with_values(result.values).model_copy(update={"phase": "finalists"})
        again += [base.with_values({"seed": seed + number}) for number in range(1, settings.seeds)]
    return best, again


def means(best: Sequence[Result], again: Sequence[Result]) -> list[Finalist]:
    """Over seeds, at the longest length; of each row the lowest mean first."""
    found = []
    for result in best:
        others = [one for one in again if one.state == "finished" and _same(one) == _same(result)]
        losses = [one.rank for one in (result, *others)]
        found.append(
            Finalist(
                name=result.name,
                row=result.row,
                transfer=result.transfer,
                values=result.values,
                seeds=len(losses),
                mean=float(np.mean(losses)),
                deviation=float(np.std(losses, ddof=1)) if others else 0.0,
            )
        )
    return sorted(found, key=lambda one: (one.row, not one.transfer, one.mean))


def _same(result: Result) -> tuple:
    """What runs have in common that differ in their seed alone."""
    values = sorted((key, value) for key, value in result.values.items() if key != "seed")
    return result.row, result.transfer, result.length, values
