"""What a search found: one `Result` a trial, kept in results.json, and the table of them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel
from rich import box
from rich.markup import escape
from rich.table import Table

from ..core.files import write_json
from ..core.progress import console

FILE_NAME = "results.json"


class Result(BaseModel):
    """What became of a trial.

    state: finished; stopped (by ASHA, at a rung); diverged (a loss was not finite); failed (`error` says why).
    Losses are the last measured; None when the trial diverged or failed.
    """

    row: str
    learning_rate: float
    parameters: int
    steps: int
    tokens: int
    validation_loss: float | None
    bits_per_byte: float | None
    seconds: float
    state: str
    error: str | None = None

    @property
    def rank(self) -> float:
        """Sorts the best first, and what has no loss last."""
        return math.inf if self.validation_loss is None else self.validation_loss


def best_of_rows(results: Sequence[Result]) -> dict[str, Result]:
    """The trial with the lowest loss of each row that has one."""
    best: dict[str, Result] = {}
    for result in sorted(results, key=lambda result: result.rank):
        if result.validation_loss is not None:
            best.setdefault(result.row, result)
    return best


def write_results(folder: Path, results: Sequence[Result]) -> Path:
    """Write results.json, and return its path."""
    write_json(folder / FILE_NAME, [result.model_dump(mode="json") for result in results])
    return folder / FILE_NAME


def read_results(folder: Path) -> list[Result]:
    """The results of a finished search, from the stage's folder."""
    return [Result.model_validate(raw) for raw in json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))]


def print_table(results: Sequence[Result]) -> None:
    """One line a trial, the best of each row in bold."""
    table = Table(title="search over the scaling table", title_justify="left", box=box.SIMPLE_HEAD)
    for name in ("row", "parameters", "learning\nrate", "steps", "loss", "bits/byte", "time"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("state")
    best = best_of_rows(results)
    for result, after in zip(results, [*results[1:], None], strict=True):
        table.add_row(
            result.row,
            f"{result.parameters:,}",
            f"{result.learning_rate:g}",
            f"{result.steps:,}",
            "" if result.validation_loss is None else f"{result.validation_loss:.3f}",
            "" if result.bits_per_byte is None else f"{result.bits_per_byte:.3f}",
            f"{result.seconds:.1f} s",
            escape(result.error or result.state),
            style="bold" if best.get(result.row) == result else None,
            end_section=after is not None and after.row != result.row,
        )
    console.print(table)
