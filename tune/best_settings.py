"""Laws of the best learning rate and batch from what a search tried, and how far its runs lie apart by their seed.

With transfer the rates are the base row's: a law in parameters and tokens then says what transfer leaves over. The laws
decide nothing: the target is trained as the ladder was, and beside its rate stands what the law says.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from ..core.errors import InputError
from .fit import best_law, edges
from .ladder_fit import Spread
from .points import TRIED, Points, Setting, settings
from .results import Result
from .valleys import PowerFit

UNKNOWN = 1000.0  # a law that tells the best rate within no smaller factor tells nothing


def best_settings(results: Sequence[Result], transfer: bool) -> tuple[dict[str, PowerFit | None], list[str]]:
    """Power laws of learning_rate and batch_tokens through the valleys of the search; None and a mark without."""
    found = _tried(results, transfer)
    laws: dict[str, PowerFit | None] = {}
    marks = []
    source = "valleys of the search" + (", at the base row's shape" if transfer else "")
    for key in TRIED:
        marks += edges(found, key)
        try:
            laws[key] = best_law(found, key, source)
        except InputError as error:
            laws[key] = None
            if any(key in one.valleys for one in found) or key == "learning_rate":
                marks.append(f"no law of the best {key.replace('_', ' ')}: {error.message}")
    return laws, marks


def law_rate(fit: PowerFit, parameters: float, tokens: float) -> tuple[float, str]:
    """The learning rate that the law says is best for a run, and how surely, in words."""
    at = {"parameters": parameters, "tokens": tokens}
    rate = fit.law.value(**at)
    if fit.intervals is None:
        return rate, "without an interval, from too few minima"
    doubt = sum(_doubt(fit, fit.intervals[name], name, at[name]) for name in fit.law.exponents)
    if doubt > math.log(UNKNOWN):
        return rate, f"not even within a factor of {UNKNOWN:g}"
    return rate, f"within a factor of {math.exp(doubt):.3g}"


def _doubt(fit: PowerFit, interval: tuple[float, float], name: str, value: float) -> float:
    """How far, in log, the exponent's interval moves the law on the way from the middle of its points."""
    low, high = fit.law.ranges[name]
    return (interval[1] - interval[0]) / 2 * abs(math.log(value / math.sqrt(low * high)))


def seed_spread(results: Sequence[Result]) -> Spread | None:
    """How far losses of runs lie apart that differ in nothing but their seed; None where the search has no such.

    Of runs with several lengths the longest one counts: all lengths share the run's luck. So does one run a seed: a
    searcher may draw the same values twice.
    """
    groups: dict[tuple, dict[int, float]] = defaultdict(dict)  # log loss by seed
    for one in sorted(results, key=lambda one: one.asked):
        if one.state == "finished" and one.validation_loss and one.phase in ("search", "finalists"):
            values = tuple(sorted((key, str(value)) for key, value in one.values.items() if key != "seed"))
            same = (one.row, one.transfer, one.learning_rate, one.weight_decay, one.batch_tokens, values)
            groups[same, one.asked][one.seed] = math.log(one.validation_loss)
    longest = {same: losses for (same, _), losses in groups.items() if len(losses) > 1}
    several = [np.array(list(losses.values())) for losses in longest.values()]
    freedom = sum(len(losses) - 1 for losses in several)
    if not freedom:
        return None
    return Spread(math.sqrt(sum(float(((x - x.mean()) ** 2).sum()) for x in several) / freedom), freedom)


def _tried(results: Sequence[Result], transfer: bool) -> list[Setting]:
    """A row at a length: there the best of what else was searched counts at each value.

    A run that diverged counts at each length that it had not ended as if it had got there: beyond it there is nothing
    to be found. A scheduler's stopped runs tell nothing of a length.
    """
    rows = [one for one in results if one.phase == "search" and one.transfer == transfer]
    groups: dict[tuple[str, int], list[Result]] = defaultdict(list)
    for one in rows:
        if one.state == "finished":
            groups[one.row, one.asked].append(one)
    for one in rows:
        if one.state == "diverged":
            for (row, _), here in groups.items():
                if row == one.row and all(other.name != one.name for other in here):
                    here.append(one)
    found = [setting for (_, length), here in groups.items() for setting in settings(_points(here, length))]
    return sorted(found, key=lambda one: (one.parameters, one.tokens))


def _points(runs: Sequence[Result], length: int) -> Points:
    loss = [one.validation_loss if one.state == "finished" else None for one in runs]
    tried = {key: np.array([getattr(one, key) for one in runs], dtype=np.float64) for key in TRIED}
    return Points(
        np.array([one.parameters for one in runs], dtype=np.float64),
        np.full(len(runs), length, dtype=np.float64),
        np.array(loss, dtype=np.float64),
        {key: values for key, values in tried.items() if (values > 0).all()},
    )
