"""What evaluation found: RUN/evaluate/results.json, a list of {model, task, shots, items, accuracy, accuracy_norm, low,
high, chance, …}; other rows and other keys are passed over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .reading import finite, read_json

FILE = "results.json"


@dataclass(frozen=True)
class Score:
    """One model on one task: shares from 0 to 1. `low` and `high` are the interval's ends, `chance` is guessing's."""

    model: str
    task: str
    shots: int
    items: int
    accuracy: float
    normalised: float | None
    low: float | None
    high: float | None
    chance: float | None

    @property
    def verdict(self) -> str:
        """Against chance, by the interval."""
        if self.chance is None or self.low is None or self.high is None:
            return ""
        return "above chance" if self.low > self.chance else "below chance" if self.high < self.chance else "chance"


def read_scores(folder: Path) -> list[Score]:
    """By task, models in the file's order."""
    found = [one for row in read_json(folder / FILE, list) if isinstance(row, dict) and (one := _score(row))]
    order = {task: at for at, task in enumerate(dict.fromkeys(one.task for one in found))}
    return sorted(found, key=lambda one: (order[one.task], one.shots))


def _score(row: Mapping[str, Any]) -> Score | None:
    accuracy = finite(row.get("accuracy"))
    if accuracy is None or not isinstance(row.get("task"), str):
        return None
    ends = [finite(row.get(name)) for name in ("low", "high", "chance")]
    normalised = finite(row.get("accuracy_norm"))
    whole = [int(finite(row.get(name)) or 0) for name in ("shots", "items")]
    return Score(str(row.get("model", "")), row["task"], *whole, accuracy, normalised, *ends)


def best(scores: Sequence[Score]) -> Score | None:
    """The score that lies furthest above chance."""
    return max(scores, key=lambda one: (one.low or 0) - (one.chance or 0), default=None)
