"""When a run's workers began, and when its checkpoints came into place: course.jsonl, written by rank 0.

    {what: "start", step, ranks, time}    began after step `step`: 0, or that of the checkpoint they go on from
    {what: "checkpoint", step, time}
    {what: "waits", step, time}    for the stage `shards`, before step `step` (train/early.py)

`time` is in seconds since 1970, UTC. Lines are only added: where the metrics read like those of an undisturbed run,
this says how often it was disturbed.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

FILE_NAME = "course.jsonl"


def add_start(folder: Path, step: int, ranks: int) -> None:
    _add(folder, {"what": "start", "step": step, "ranks": ranks})


def add_checkpoint(folder: Path, step: int) -> None:
    _add(folder, {"what": "checkpoint", "step": step})


def add_wait(folder: Path, step: int) -> None:
    _add(folder, {"what": "waits", "step": step})


def read_course(folder: Path) -> list[dict[str, Any]]:
    """All lines; none for a run of a version that did not write them. One that a killed writer left unfinished, and
    that a later one wrote on, is not one."""
    path = folder / FILE_NAME
    if not path.exists():
        return []
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return [one for one in found if isinstance(one, dict) and isinstance(one.get("step"), int)]


def _add(folder: Path, line: dict[str, Any]) -> None:
    with (folder / FILE_NAME).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line | {"time": round(time.time(), 3)}) + "\n")
