"""Measured runs as arrays: what laws are fitted to.

Reads CSV with a header, a JSON list of objects, or results.json of the stage `tune`. A row needs parameters, tokens and
loss (or validation_loss), and may have learning_rate and batch_tokens; one without a loss failed or diverged. Where
rows have a `state`, only what is finished counts: a run that was stopped early ends at a rate that is still high. Of a
sweep the ladder's runs count, and without a ladder those of the search, without transfer where there are both: rates
with transfer are those of another row.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InputError
from .valleys import Valley, fit_valley

Array = NDArray[np.float64]
TRIED = ("learning_rate", "batch_tokens")


@dataclass(frozen=True)
class Points:
    """Arrays of one length. `loss` is NaN where a run has none; `tried` has the settings that the file tells."""

    parameters: Array
    tokens: Array
    loss: Array
    tried: dict[str, Array]


@dataclass(frozen=True)
class Setting:
    """The runs of one size and length, which differ in what they tried."""

    parameters: float
    tokens: float
    loss: float  # the lowest, between the tried values where a valley says so
    valleys: dict[str, Valley]  # of what was tried with three values or more


def read_points(path: Path) -> Points:
    """Raises InputError for a file that cannot be read, and names the row and key that are wrong."""
    try:
        text = path.read_text(encoding="utf-8")
        rows = json.loads(text) if text.lstrip().startswith(("[", "{")) else list(csv.DictReader(text.splitlines()))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", "name a CSV or JSON file of runs") from error
    except ValueError as error:
        raise InputError(f"{path} is neither CSV nor JSON: {error}", "give a JSON list of objects, or CSV") from error
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{path} holds no rows", "give a JSON list of objects, or CSV with a header")
    rows = _of_sweep(rows)
    loss = "loss" if "loss" in rows[0] else "validation_loss"
    rows = [row if row.get("state", "finished") == "finished" else {**row, loss: None} for row in rows]
    return Points(
        _column(path, rows, "parameters"),
        _column(path, rows, "tokens"),
        _column(path, rows, loss, must=False),
        {key: _column(path, rows, key) for key in TRIED if key in rows[0]},
    )


def settings(points: Points) -> list[Setting]:
    """One for each (parameters, tokens) of which a run has a loss, in their order."""
    found = []
    for size, length in sorted(set(zip(points.parameters.tolist(), points.tokens.tolist(), strict=True))):
        here = (points.parameters == size) & (points.tokens == length)
        losses = points.loss[here]
        if np.isfinite(losses).any():
            tried = {key: values[here] for key, values in points.tried.items() if len(np.unique(values[here])) >= 3}
            valleys = {key: fit_valley(values, losses) for key, values in tried.items()}
            lowest = min([float(np.nanmin(losses)), *(valley.loss for valley in valleys.values())])
            found.append(Setting(size, length, lowest, valleys))
    return found


def _of_sweep(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows that belong together; all that have trained where they do not say what they are."""
    begun = [row for row in rows if row.get("state", "finished") == "finished" or row.get("tokens")]
    ladder = [row for row in begun if row.get("phase") == "ladder"]
    search = [row for row in begun if row.get("phase") in ("search", "finalists")]
    standard = [row for row in search if not row.get("transfer")]
    return ladder or standard or search or begun or rows


def _column(path: Path, rows: Sequence[Mapping[str, Any]], key: str, must: bool = True) -> Array:
    values = []
    for number, row in enumerate(rows, start=1):
        raw = row.get(key)
        missing = raw is None or raw == ""
        try:
            value = math.nan if missing and not must else float(raw)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            value = -math.inf
        if value <= 0 or (must and not math.isfinite(value)):
            raise InputError(
                f"{path}, row {number}: {key} is {raw!r}", f"give a number above 0{'' if must else ', or nothing'}"
            )
        values.append(value)
    return np.array(values)
