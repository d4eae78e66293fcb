"""From the records of an evaluation to its tables. results.py says what stands in them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..core.files import atomic_path, write_json
from .answers import flexible_extract, strict_match
from .asking import Asking, read_questions
from .figures import figures
from .items import Item
from .records import Record
from .results import FILE_NAME, ITEM, RESULT, Result
from .tasks import Task

RESULTS_TABLE, ITEMS_TABLE = "results.parquet", "items.parquet"


def results_of(model: str, asking: Asking, records: Sequence[Record], flagged: set[int] | None) -> list[Result]:
    """A task's figures: of all items, and, where decontamination has looked for them, of those that it found and of the
    others."""
    questions = read_questions(asking)
    both = list(zip(questions.items, records, strict=True))
    parts = {"all": both}
    if flagged is not None:
        parts["clean"] = [one for one in both if one[0].row not in flagged]
        parts["contaminated"] = [one for one in both if one[0].row in flagged]
    return [
        Result(model=model, task=asking.task, shots=asking.shots, part=part, figure=name, **vars(figure))
        for part, some in parts.items()
        if some
        for name, figure in figures(questions.task, *_columns(some)).items()
    ]


def _columns(both: Sequence[tuple[Item, Record]]) -> tuple[list[Item], list[Record]]:
    return [item for item, _ in both], [record for _, record in both]


def item_rows(model: str, asking: Asking, records: Sequence[Record], flagged: set[int] | None) -> list[dict[str, Any]]:
    """A row of ITEM for each item."""
    questions = read_questions(asking)
    return [
        {
            "model": model,
            "task": asking.task,
            "shots": asking.shots,
            "id": item.id,
            "row": item.row,
            "subject": item.subject,
            "contaminated": None if flagged is None else item.row in flagged,
            **_right(questions.task, item, record),
        }
        for item, record in zip(questions.items, records, strict=True)
    ]


def _right(task: Task, item: Item, record: Record) -> dict[str, bool | None]:
    """Whether the item is right, by each of the task's figures that says so of an item."""
    if task.kind == "answer":
        both = record.text, item.choices[0]
        return {"strict_match": strict_match(*both), "flexible_extract": flexible_extract(*both)}
    return {name: getattr(record, name) for name in ("acc", "acc_norm", "acc_bytes") if name in task.figures}


def write_tables(folder: Path, results: Sequence[Result], items: Sequence[dict[str, Any]]) -> list[tuple[Path, int]]:
    """Write results.json, results.parquet and items.parquet; returns each file and its rows."""
    rows = [one.model_dump(mode="json") for one in results]
    write_json(folder / FILE_NAME, rows)
    for name, table, schema in ((RESULTS_TABLE, rows, RESULT), (ITEMS_TABLE, list(items), ITEM)):
        with atomic_path(folder / name) as partial:
            pq.write_table(pa.Table.from_pylist(table, schema=schema), partial)
    return [(folder / FILE_NAME, len(rows)), (folder / RESULTS_TABLE, len(rows)), (folder / ITEMS_TABLE, len(items))]
