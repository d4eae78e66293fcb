"""The course of a training run, written by rank 0.

    metrics.jsonl    a line a logged step: step, loss, lr, grad_norm, tokens_seen, and the figures of train/watch.py;
                     a line a validation: step, validation_loss, bits_per_byte, of several sources bits_per_byte/NAME;
                     a line a look at tasks: step, eval/TASK/FIGURE, items and chance (evaluate/while_training.py)

Trackers show the same (train/trackers.py).

A run that resumes after step s cuts the lines behind s, so that the file reads like that of an undisturbed run.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..core.files import sync, write_text
from .trackers import Tracker

FILE_NAME = "metrics.jsonl"


class Metrics:
    """Opens the record of a run that has done `step` steps, and appends to it."""

    def __init__(self, folder: Path, step: int, trackers: Sequence[Tracker] = ()) -> None:
        path = folder / FILE_NAME
        kept = [json.dumps(row) + "\n" for row in read_metrics(folder) if step and row["step"] <= step]
        write_text(path, "".join(kept))
        self._file = path.open("a", encoding="utf-8")
        self._trackers = trackers

    def write(self, row: dict[str, Any]) -> None:
        """Append one row, visible to readers at once."""
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()
        for tracker in self._trackers:
            tracker.write(row)

    def sync(self) -> None:
        """Make what was written last through a crash of the machine."""
        sync(self._file)
        for tracker in self._trackers:
            tracker.sync()

    def close(self) -> None:
        self._file.close()
        for tracker in self._trackers:
            tracker.close()


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Rows of metrics.jsonl. A last line that a killed writer left unfinished is not one."""
    path = folder / FILE_NAME
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1]]  # what follows the last line end is unfinished


def last_row(folder: Path) -> dict[str, Any] | None:
    """The newest row of a logged step, read from the end of the file."""
    path = folder / FILE_NAME
    if not path.exists():
        return None
    with path.open("rb") as handle:
        handle.seek(max(0, path.stat().st_size - 4096))
        lines = handle.read().split(b"\n")[:-1]
    rows = [json.loads(line) for line in lines if line.startswith(b"{") and line.endswith(b"}")]
    return next((row for row in reversed(rows) if "loss" in row), None)
