"""How a run stands: RUN/state.json, written by the process that works on it.

    {state: "running" | "finished" | "failed" | "interrupted", stages, stage, beside, error, fix, began, written, host,
     process}

`stages` are those that the command brings up to date, `stage` is the one under way or the one that failed, `beside` one
that is under way at the same time; times are in
seconds since 1970. A process that was killed leaves "running", but not the run's lock: the page says "stopped" then.
"""

from __future__ import annotations

import json
import os
import socket
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

from ..core.credentials import masked
from ..core.files import write_json
from ..core.lock import holder

FILE_NAME = "state.json"
Word = Literal["running", "finished", "failed", "interrupted", "stopped", "unknown"]


@dataclass(frozen=True)
class State:
    """The content of state.json; `unknown` for a run of a version that did not write it."""

    state: Word = "unknown"
    stages: list[str] = field(default_factory=list)
    stage: str = ""
    error: str = ""
    fix: str = ""
    began: float = 0.0
    written: float = 0.0
    host: str = ""
    process: int = 0
    beside: str = ""


def begun(stages: list[str]) -> State:
    """Of a command that begins now."""
    return State("running", stages, "", began=time.time(), host=socket.gethostname(), process=os.getpid())


def write_state(folder: Path, state: State) -> None:
    """Write it down, without the credentials that an error may tell."""
    told = {"error": masked(state.error), "fix": masked(state.fix)}
    write_json(folder / FILE_NAME, asdict(state) | told | {"written": time.time()})


def read_state(folder: Path) -> State:
    """What stands in the run's folder, and whether the process that wrote it still works there; of another machine's
    process that cannot be known, and is believed."""
    try:
        found = State(**json.loads((folder / FILE_NAME).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return State()
    if not isinstance(found.stages, list) or not isinstance(found.state, str):
        return State()
    if found.state == "running" and found.host == socket.gethostname() and not _at_work(folder, found.process):
        return replace(found, state="stopped")
    return found


def _at_work(folder: Path, process: int) -> bool:
    """Whether this process holds the run. Who has just begun to hold it has not yet written who it is."""
    return holder(folder) in (str(process), "")
