"""What went wrong in a run and was dealt with: events.jsonl, written by rank 0.

    {step, reason, action: "skip" | "rewind", loss, grad_norm, rows, doc_ids}

`rows` are the numbers of the batch's rows, `doc_ids` the documents of its tokens. A number that is not finite
is a string. A run that resumes keeps as many lines as its checkpoint knows of; the others happen again.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from ..core.files import write_text
from ..core.remote_path import RemotePath

FILE_NAME = "events.jsonl"


def cut_events(folder: Path, number: int) -> None:
    """Leave the first `number` events."""
    if (folder / FILE_NAME).exists():
        kept = read_events(folder)[:number]
        write_text(folder / FILE_NAME, "".join(json.dumps(one) + "\n" for one in kept))


def add_event(folder: Path, event: dict[str, Any]) -> None:
    """Append one event, whole for readers at once."""
    plain = {key: str(v) if isinstance(v, float) and not math.isfinite(v) else v for key, v in event.items()}
    with (folder / FILE_NAME).open("a", encoding="utf-8") as file:
        file.write(json.dumps(plain) + "\n")


def sync_events(folder: Path) -> None:
    """Make what was added last through a crash of the machine."""
    if not isinstance(folder, RemotePath) and (folder / FILE_NAME).exists():  # a store keeps what was put
        with (folder / FILE_NAME).open("rb") as file:
            os.fsync(file.fileno())


def read_events(folder: Path) -> list[dict[str, Any]]:
    """All events. A last line that a killed writer left unfinished is not one."""
    path = folder / FILE_NAME
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
