"""Looks at tasks while a model is trained: what the first and the newest found, with intervals and chance.

Shares of right items have Wilson's interval, of as many items as were asked; averages over subjects and other figures
have none here. Metrics of earlier versions say neither how many items nor chance.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..evaluate.intervals import wilson
from .reading import finite
from .scores import SHARES, Score
from .training import Row, Training

_NOT_OF_ITEMS = ("acc_macro",)


def chances_on_the_way(one: Training) -> dict[str, float]:
    """What guessing gives, by task."""
    found = {task: one.last(f"eval/{task}/chance") for task in one.tasks}
    return {task: chance for task, chance in found.items() if chance is not None}


def looks(one: Training, chances: Mapping[str, float]) -> list[Score]:
    """Of each task its shares, or its first figure where it has none, at the first look and at the newest; for `model`
    the step. `chances`: by task, where the metrics do not tell."""
    found: list[Score] = []
    for task, figures in one.tasks.items():
        for figure in shown_figures(figures):
            rows = [row for row in one.checks if finite(row.get(f"eval/{task}/{figure}")) is not None]
            found += [_score(row, task, figure, chances.get(task)) for row in [*rows[:1], *rows[1:][-1:]]]
    return found


def shown_figures(figures: list[str]) -> list[str]:
    """Of a task's figures those that are shares of right items, or else the first."""
    return [name for name in figures if name.startswith(SHARES)] or figures[:1]


def _score(row: Row, task: str, figure: str, guessed: float | None) -> Score:
    value, items, chance = (finite(row.get(f"eval/{task}/{name}")) for name in (figure, "items", "chance"))
    assert value is not None, "rows were chosen by it"
    share, number = figure.startswith(SHARES) and 0 <= value <= 1, int(items or 0)
    low = high = None
    if share and number and figure not in _NOT_OF_ITEMS:
        low, high = wilson(round(value * number), number)
    guessed = (guessed if chance is None else chance) if share else None
    return Score(f"step {row['step']:,}", task, 0, number, figure, value, low, high, guessed)
