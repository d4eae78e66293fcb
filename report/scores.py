"""What evaluation found: RUN/evaluate/results.json, a list of {model, task, shots, part, figure, value, low, high,
items, chance}; rows that lack what is needed are passed over.

Shares (accuracies, exact matches) lie between 0 and 1; other figures (perplexity, bits per byte) have no chance level.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .reading import finite, read_json

FILE = "results.json"
SHARES = ("acc", "strict_match", "flexible_extract")  # how the names of figures begin that lie between 0 and 1


@dataclass(frozen=True)
class Score:
    """A figure of one model on one task. `low` and `high` are its interval's ends, `chance` is what guessing gives;
    `part`: all, or the items that stand in the run's documents, or the others."""

    model: str
    task: str
    shots: int
    items: int
    figure: str
    value: float
    low: float | None
    high: float | None
    chance: float | None
    part: str = "all"
    subject: str = ""

    @property
    def is_share(self) -> bool:
        return self.figure.startswith(SHARES) and 0 <= self.value <= 1

    @property
    def verdict(self) -> str:
        """Against chance, by the interval."""
        if not self.is_share or self.chance is None or self.low is None or self.high is None:
            return ""
        return "above chance" if self.low > self.chance else "below chance" if self.high < self.chance else "chance"


def read_scores(folder: Path) -> list[Score]:
    """In the order of tasks, figures within them, models within those."""
    found = [one for row in read_json(folder / FILE, list) if isinstance(row, dict) and (one := _score(row))]
    tasks, figures = (list(dict.fromkeys(getattr(one, what) for one in found)) for what in ("task", "figure"))
    return sorted(
        found,
        key=lambda one: (tasks.index(one.task), one.shots, figures.index(one.figure), one.part != "all", one.part),
    )


def best(scores: Sequence[Score]) -> Score | None:
    """The share that lies furthest above chance, by the low end of its interval."""
    shares = [one for one in scores if one.is_share and one.part == "all" and not one.subject and one.low is not None]
    return max(shares, key=lambda one: (one.low or 0) - (one.chance or 0), default=None)


def chances(scores: Sequence[Score]) -> dict[str, float]:
    """What guessing gives, by task."""
    return {one.task: one.chance for one in scores if one.is_share and one.chance is not None and not one.subject}


def _score(row: Mapping[str, Any]) -> Score | None:
    value, figure = finite(row.get("value", row.get("accuracy"))), str(row.get("figure", "acc"))
    if value is None or not isinstance(row.get("task"), str):
        return None
    shots, items = (int(finite(row.get(name)) or 0) for name in ("shots", "items"))
    name, _, subject = figure.partition("/")
    model, part = str(row.get("model", "")), str(row.get("part", "all"))
    low, high, chance = (finite(row.get(key)) for key in ("low", "high", "chance"))
    return Score(model, row["task"], shots, items, name, value, low, high, chance, part, subject)
