"""Laws of the best learning rate and batch from what a search tried, and what they say for the target.

With transfer the rates are the base row's: a law in parameters and tokens then says what transfer leaves over.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from ..core.errors import InputError
from .fit import best_law, edges
from .ladder_fit import Spread
from .points import TRIED, Points, settings
from .results import Result
from .valleys import PowerFit

SURE = 2.0  # a law that tells the best rate within this factor is followed


def best_settings(results: Sequence[Result], transfer: bool) -> tuple[dict[str, PowerFit | None], list[str]]:
    """Power laws of learning_rate and batch_tokens through the valleys of search and grid; None and a mark without."""
    found = settings(_tried(results, transfer))
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


def rate_for(fit: PowerFit | None, parameters: float, tokens: float, chosen: float) -> tuple[float, str | None]:
    """The learning rate for a run, and a mark where it is not the law's but that of the ladder."""
    if fit is None:
        return chosen, f"the learning rate is the ladder's, {chosen:.3g}"
    at = {"parameters": parameters, "tokens": tokens}
    doubt = math.inf
    if fit.intervals is not None:
        doubt = math.exp(sum(_doubt(fit, fit.intervals[name], name, at[name]) for name in fit.law.exponents))
    if doubt <= SURE:
        return fit.law.value(**at), None
    how = f"within a factor of {doubt:.3g}" if math.isfinite(doubt) else "without an interval, from too few minima"
    return chosen, f"the law of the best learning rate tells the target's {how}: the ladder's is taken, {chosen:.3g}"


def _doubt(fit: PowerFit, interval: tuple[float, float], name: str, value: float) -> float:
    """How far, in log, the exponent's interval moves the law on the way from the middle of its points."""
    low, high = fit.law.ranges[name]
    return (interval[1] - interval[0]) / 2 * abs(math.log(value / math.sqrt(low * high)))


def seed_spread(results: Sequence[Result]) -> Spread | None:
    """How far losses of runs lie apart that differ in nothing but their seed; None where the search has no such."""
    groups: dict[tuple, list[float]] = defaultdict(list)
    for one in results:
        if one.state == "finished" and one.validation_loss and one.phase in ("search", "finalists"):
            values = tuple(sorted((key, str(value)) for key, value in one.values.items()))
            same = (one.row, one.transfer, one.learning_rate, one.weight_decay, one.batch_tokens, one.tokens, values)
            groups[same].append(math.log(one.validation_loss))
    several = [np.array(losses) for losses in groups.values() if len(losses) > 1]
    freedom = sum(len(losses) - 1 for losses in several)
    if not freedom:
        return None
    return Spread(math.sqrt(sum(float(((x - x.mean()) ** 2).sum()) for x in several) / freedom), freedom)


def _tried(results: Sequence[Result], transfer: bool) -> Points:
    """Runs to the end, and those that diverged as if they had got there: beyond them there is nothing to be found."""
    rows = [one for one in results if one.phase in ("search", "grid") and one.transfer == transfer]
    ends: dict[str, int] = {}
    for one in rows:
        if one.state == "finished":
            ends[one.row] = max(ends.get(one.row, 0), one.tokens)
    rows = [one for one in rows if one.state == "finished" or (one.state == "diverged" and one.row in ends)]
    loss = [one.validation_loss if one.state == "finished" else None for one in rows]
    tokens = [one.tokens if one.state == "finished" else ends[one.row] for one in rows]
    tried = {key: np.array([getattr(one, key) for one in rows], dtype=np.float64) for key in TRIED}
    return Points(
        np.array([one.parameters for one in rows], dtype=np.float64),
        np.array(tokens, dtype=np.float64),
        np.array(loss, dtype=np.float64),
        {key: values for key, values in tried.items() if (values > 0).all()},
    )
