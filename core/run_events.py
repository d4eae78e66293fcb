"""What happens to a run, as it happens: RUN/logs/events.jsonl, an object a line, only ever added to.

    {time, run, event, stage?, …}    time: ISO 8601, UTC

| event | with |
|---|---|
| run_began | stages, host, process, version |
| run_ended | state: finished, failed or interrupted; seconds; error and fix of what failed |
| stage_up_to_date | |
| stage_began | why |
| stage_ended | seconds, counters, dropped: {reason: documents} |
| stage_failed, stage_interrupted | seconds, error, fix |
| progress | done, total, counting, amount, per_second, seconds_left, note: every EVENT_EVERY_S (progress.py) |
| training_began, training_resumed | step, ranks: after which step the workers began |
| training_waits | step: before it, for the stage `shards` (train/early.py) |
| checkpoint | step |
| spike | step, reason, action |
| trial_ended | trial |

What a training writes step by step stands in its own metrics.jsonl, and is not repeated here; nor are the documents
behind a spike (train/events.py). A line is written at once and whole, so that a kill leaves no more than one torn line,
the last, and what is written later begins a line of its own. Events are no part of what a run makes: one that cannot be
written is a warning in the log, once.
"""

from __future__ import annotations

import json
import logging
import math
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .. import __version__
from .credentials import masked
from .errors import StoreError, ending
from .log import log

FILE_NAME = "events.jsonl"
DROPPED = "dropped."  # begins the counters of documents that left, by reason


class RunEvents:
    """The events of the run `name`, in `folder`, which is made with the first of them."""

    def __init__(self, folder: Path, name: str) -> None:
        self.path, self.name = folder / FILE_NAME, name
        self._told = False

    def add(self, event: str, **fields: Any) -> None:
        """Append one event, with the time of now."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = {"time": now.replace("+00:00", "Z"), "run": self.name, "event": event} | fields
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _append(self.path, json.dumps(_plain(line), ensure_ascii=False))
        except (OSError, StoreError) as failure:
            log.log(logging.DEBUG if self._told else logging.WARNING, "no event in %s: %s", self.path, failure)
            self._told = True

    @contextmanager
    def of_command(self, stages: Sequence[str]) -> Iterator[None]:
        """Around all that a command does with the run."""
        began = time.monotonic()
        self.add("run_began", stages=list(stages), host=socket.gethostname(), process=os.getpid(), version=__version__)
        try:
            yield
        except BaseException as error:
            self.add("run_ended", state=ending(error).state, seconds=_since(began), **_said(error))
            raise
        self.add("run_ended", state="finished", seconds=_since(began))

    @contextmanager
    def of_stage(self, stage: str, why: str) -> Iterator[dict[str, Any]]:
        """Around the work of a stage. What is put into the mapping is told at its end."""
        began, told = time.monotonic(), {}
        self.add("stage_began", stage=stage, why=why)
        try:
            yield told
        except BaseException as error:
            self.add(f"stage_{ending(error).state}", stage=stage, seconds=_since(began), **_said(error))
            raise
        self.add("stage_ended", stage=stage, **told)


def of_counters(counters: Mapping[str, float | int]) -> dict[str, Any]:
    """A manifest's counters, those of documents that left apart: {counters: …, dropped: {reason: documents}}."""
    dropped = {name.removeprefix(DROPPED): n for name, n in counters.items() if name.startswith(DROPPED)}
    return {"counters": {k: n for k, n in counters.items() if not k.startswith(DROPPED)}, "dropped": dropped}


def read_run_events(folder: Path) -> list[dict[str, Any]]:
    """All events of a run's folder `logs`, oldest first. Lines that a kill has torn are passed over."""
    path = folder / FILE_NAME
    if not path.exists():
        return []
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return [one for one in found if isinstance(one, dict) and "event" in one]


def _append(path: Path, line: str) -> None:
    """Write one line by one call, behind the end of one that was torn."""
    with path.open("ab+", buffering=0) as file:
        torn = False
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            torn = file.read(1) != b"\n"
        # a name that is no UTF-8 has lone surrogates, which become JSON's own escapes
        file.write(b"\n" * torn + line.encode(errors="backslashreplace") + b"\n")


def _plain(value: Any) -> Any:
    """The value with numbers that are not finite, which JSON does not know, as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def _said(error: BaseException) -> dict[str, str]:
    end = ending(error)
    return {"error": masked(end.error), "fix": masked(end.fix)} if end.error else {}


def _since(began: float) -> float:
    return round(time.monotonic() - began, 2)
