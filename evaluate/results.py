"""What an evaluation came to, as files of its folder, and as a table on the terminal. It imports no torch.

results.json, results.parquet    a Result a row: models, then tasks, in the recipe's order
items.parquet                    ITEM: each item of each model, and whether it is right
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from pydantic import BaseModel, ValidationError
from rich import box
from rich.table import Table

from ..core.errors import InputError
from ..core.progress import console

FILE_NAME = "results.json"
PARTS = ("all", "clean", "contaminated")
RESULT = pa.schema(
    [
        *(pa.field(name, pa.string(), False) for name in ("model", "task", "part", "figure")),
        *(pa.field(name, pa.int64(), False) for name in ("shots", "items")),
        *(pa.field(name, pa.float64(), False) for name in ("value", "low", "high")),
        pa.field("chance", pa.float64()),
    ]
)
ITEM = pa.schema(
    [
        pa.field("model", pa.string(), False),
        pa.field("task", pa.string(), False),
        pa.field("shots", pa.int64(), False),
        pa.field("id", pa.string(), False),
        pa.field("row", pa.int64(), False),  # of the task's file, from 0
        pa.field("subject", pa.string(), False),
        pa.field("contaminated", pa.bool_()),  # null: nobody looked for this task's items
        *(pa.field(name, pa.bool_()) for name in ("acc", "acc_norm", "acc_bytes", "strict_match", "flexible_extract")),
    ]
)


class Result(BaseModel):
    """A figure of a model in a task.

    part: of all items; clean: those that decontamination did not find in the run's documents; contaminated: the others.
    figure: acc, acc_norm, … (docs/evaluate.md), `acc/SUBJECT`. low, high: the interval of 95 %. chance: what guessing
    gives, None where there is no guessing.
    """

    model: str
    task: str
    shots: int
    part: str
    figure: str
    value: float
    low: float
    high: float
    items: int
    chance: float | None


def read_results(folder: Path) -> list[Result]:
    """Raises InputError where there are none."""
    path = folder / FILE_NAME
    try:
        return [Result.model_validate(row) for row in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, ValidationError) as error:
        raise InputError(
            f"no results at {path}: {error}", "evaluate first: crawl2chat evaluate --run FOLDER"
        ) from error


def print_results(results: Sequence[Result], title: str = "evaluation") -> None:
    """A line a figure, part and model: the value, its interval of 95 %, chance. Figures of subjects are left out."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("task", "shots", "figure", "model", "value", "95 %", "chance", "items"):
        words = name in ("task", "figure", "model")
        table.add_column(name, no_wrap=True, justify="left" if words else "right")
    shown = [one for one in results if "/" not in one.figure]
    tasks, figures = (list(dict.fromkeys(x)) for x in ([one.task for one in shown], [one.figure for one in shown]))
    before = ("", -1, "")
    for one in sorted(
        shown, key=lambda x: (tasks.index(x.task), x.shots, figures.index(x.figure), PARTS.index(x.part))
    ):
        figure = one.figure if one.part == "all" else f"  {one.part}"
        here = (one.task, one.shots, figure)
        task, shots = ("", "") if here[:2] == before[:2] else (one.task, str(one.shots))
        table.add_row(task, shots, "" if here == before else figure, one.model, *_cells(one))
        before = here
    console.print(table)


def _cells(one: Result) -> tuple[str, str, str, str]:
    digits = 3 if max(one.value, one.high) < 10 else 1
    low, value, high = (f"{x:,.{digits}f}" for x in (one.low, one.value, one.high))
    return value, f"{low}…{high}", "" if one.chance is None else f"{one.chance:.3f}", f"{one.items:,}"
