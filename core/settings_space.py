"""What a search over settings may vary, and between which values: `tune.space` and `tune.asha_check.space`."""

from __future__ import annotations

import math
import re
from typing import Any

from pydantic import Field, model_validator

from .section import Section

# What a search may vary: keys of `train.optimizer`, of the section `tune`, and mixture.SOURCE.
DIMENSIONS = (
    "learning_rate", "weight_decay", "batch", "warmup_share", "schedule", "decay_share", "min_lr_ratio", "beta1",
    "beta2", "clip_norm",
)  # fmt: skip
MIXED = "mixture."  # mixture.SOURCE: the source's weight among the others'
# What may change under a checkpoint: the others say what its step number, or its place in the data, means.
IN_TRAINING = ("learning_rate", "weight_decay", "beta1", "beta2", "min_lr_ratio", "clip_norm")
_POINTLESS = re.compile(r"([-+]?\d+)(\.\d*)?e([-+]?)(\d+)", re.IGNORECASE)  # numbers, but to YAML 1.1 text


class Range(Section):
    """Values between two ends, for searchers that draw: random and tpe, and the population."""

    low: float = Field(allow_inf_nan=False)
    high: float = Field(allow_inf_nan=False)
    log: bool = Field(default=True, description="drawn evenly by logarithm")

    @model_validator(mode="after")
    def _rises(self) -> Range:
        if not self.low < self.high:
            raise ValueError(f"a range from {self.low:g} to {self.high:g} is empty; put the smaller end first")
        if self.log and self.low <= 0:
            raise ValueError(f"a range from {self.low:g} has no logarithm; set low above 0, or log: false")
        return self


Values = list[float | str] | Range
Space = dict[str, Values]


def check_space(name: str, space: Space) -> None:
    """Raise ValueError for a key that cannot be searched, and for values that are none of its kind.

    What the optimizer and the mixture make of a value, tune/checks.py finds out, with a trial that has it.
    """
    for key, values in space.items():
        where = f"{name}.{key}"
        if key not in DIMENSIONS and not (key.startswith(MIXED) and key != MIXED):
            raise ValueError(f"{name} has the unknown key {key!r}; it may have {', '.join(DIMENSIONS)}, mixture.SOURCE")
        if isinstance(values, Range):
            if key == "schedule":
                raise ValueError(f"{where} is a range, and schedules are names; give a list of them")
            _check_own(where, key, [values.low, values.high], whole=False)  # what is drawn is rounded
            continue
        if not values or len(set(values)) < len(values):
            raise ValueError(f"{where} is {values}; name each value once, and at least one")
        for value in values:
            if (key == "schedule") != isinstance(value, str) or (isinstance(value, float) and not math.isfinite(value)):
                raise ValueError(f"{where} has {value!r}; {_wanted(key, value)}")
        _check_own(where, key, values, whole=True)


def check_grid(name: str, space: Space) -> None:
    """Raise ValueError for a space that a grid cannot go through."""
    if not space:
        raise ValueError(f"{name} is empty; give it a key with a list of values, for example learning_rate")
    if drawn := [key for key, values in space.items() if isinstance(values, Range)]:
        raise ValueError(f"{name}.{drawn[0]} is a range, which a grid cannot go through; give a list of values")


def check_population(name: str, space: Space) -> None:
    """Raise ValueError for what cannot change between a checkpoint and the steps after it."""
    if fixed := [key for key in space if key not in IN_TRAINING]:
        raise ValueError(
            f"{name} has {fixed[0]}, and tune.scheduler is pbt, whose trials go on from each other's checkpoints with "
            f"values changed: their steps would mean something else; pbt may change {', '.join(IN_TRAINING)}"
        )


def _check_own(where: str, key: str, values: list[Any], whole: bool) -> None:
    """The values of a trial that are not the optimizer's."""
    for value in values:
        if key == "batch" and (value < 1 or (whole and value != round(value))):
            raise ValueError(f"{where} has {value:g}; give whole numbers of at least 1")
        if key == "warmup_share" and not 0 <= value <= 1:
            raise ValueError(f"{where} has {value:g}; give shares of the steps, from 0 to 1")


def _wanted(key: str, value: float | str) -> str:
    """The fix. PyYAML reads a number with an exponent as text when its point or the exponent's sign is missing."""
    if key == "schedule":
        return "give names"
    if isinstance(value, str) and (parts := _POINTLESS.fullmatch(value.strip())):
        digits, point, sign, exponent = parts.groups()
        return f"YAML reads that as text: write {digits}{point or '.0'}e{sign or '+'}{exponent}"
    return "give numbers"
