"""All laws that measured runs carry: loss, best learning rate and batch, IsoFLOP minima; what they do not, in words."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..core.errors import InputError
from .isoflop import best_sizes, isoflop
from .loss_fit import LossFit, fit_loss
from .points import TRIED, Points, Setting, settings
from .show import short
from .valleys import PowerFit, fit_power


@dataclass
class Fitted:
    """`marks` say what the points do not give, and what their reader must know."""

    loss: LossFit
    best: dict[str, PowerFit] = field(default_factory=dict)  # of learning_rate and batch_tokens
    isoflop: PowerFit | None = None
    marks: list[str] = field(default_factory=list)


def fit_points(points: Points, draws: int = 200, seed: int = 0, source: str = "fitted") -> Fitted:
    """The law of the loss through the lowest loss of each size and length; power laws of the best settings through the
    minima that lie inside their grids; IsoFLOP parabolas where there are runs for them.

    Raises InputError when the points do not carry the law of the loss; what else is missing is a mark.
    """
    found = settings(points)
    sizes, lengths, losses = (
        np.array([getattr(one, key) for one in found]) for key in ("parameters", "tokens", "loss")
    )
    fitted = Fitted(fit_loss(sizes, lengths, losses, draws, seed, source))
    fitted.marks = [*fitted.loss.marks, *(words for key in TRIED for words in edges(found, key))]
    for key in points.tried:
        try:
            fitted.best[key] = best_law(found, key, source)
            if fitted.best[key].intervals is None:
                fitted.marks.append(f"the law of the best {key.replace('_', ' ')} has no interval: too few minima")
        except InputError as error:
            fitted.marks.append(f"no law of the best {key.replace('_', ' ')}: {error.message}")
    try:
        fitted.isoflop = best_sizes(isoflop(sizes, lengths, losses))
    except InputError as error:
        fitted.marks.append(f"no IsoFLOP cross-check: {error.message}")
    return fitted


def edges(found: list[Setting], key: str) -> list[str]:
    """Minima that may lie beyond what was tried."""
    valleys = [(one, one.valleys[key]) for one in found if key in one.valleys]
    return [
        f"{short(one.parameters)} parameters, {short(one.tokens)} tokens: the lowest loss is at the {valley.edge} end "
        f"of {key.replace('_', ' ')} ({valley.best:g}); try values beyond it"
        for one, valley in valleys
        if valley.edge
    ]


def best_law(found: list[Setting], key: str, source: str) -> PowerFit:
    """Over parameters and tokens where they vary apart, else over one that varies."""
    inside = [one for one in found if key in one.valleys and one.valleys[key].edge is None]
    measures = {name: [getattr(one, name) for one in inside] for name in ("parameters", "tokens")}
    varied = {name: values for name, values in measures.items() if len(set(values)) > 1}
    if not varied:
        raise InputError(
            f"{len(inside)} sizes and lengths have their minimum inside what was tried; a law needs two or more",
            "try more values, for more sizes",
        )
    best = [one.valleys[key].best for one in inside]
    if len(varied) == 2:
        correlation = np.corrcoef(np.log(varied["parameters"]), np.log(varied["tokens"]))[0, 1]
        if len(inside) < 3 or abs(correlation) > 0.999:  # tokens in proportion to parameters, as rows of the table are
            varied.pop("tokens")
    return fit_power(varied, best, source)
