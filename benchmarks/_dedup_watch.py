"""Looking at the stage while it works: seconds of each pass, the memory of this process and of Ray's workers."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


class Passes:
    """Of each pass of the stage, by the function that does its work: seconds, and of a shuffle rows and edges."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.rows: dict[str, int] = {}
        self.edges = 0

    def clocked(self, way: Callable[..., Any], place: int) -> Callable[..., Any]:
        """The stage's way to run a pass, of which the function stands at this place of the arguments."""

        def run(*given: Any, **named: Any) -> Any:
            name = getattr(given[place], "func", given[place]).__name__
            began = time.perf_counter()
            reports = way(*given, **named)
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began
            for report in reports if name.startswith("meet") else ():
                self.rows[name] = self.rows.get(name, 0) + report["rows"]
                self.edges += report.get("edges", 0)
            return reports

        return run


@contextmanager
def watched() -> Iterator[Passes]:
    """Watch the passes of the stage that runs meanwhile."""
    from crawl2chat.dedup import dedup_stage

    passes, before = Passes(), (dedup_stage.map_units, dedup_stage.shuffle)
    dedup_stage.map_units, dedup_stage.shuffle = passes.clocked(before[0], 0), passes.clocked(before[1], 3)
    try:
        yield passes
    finally:
        dedup_stage.map_units, dedup_stage.shuffle = before


@contextmanager
def workers_peak() -> Iterator[list[float]]:
    """MB of the largest process below this one, looked at five times a second; pages shared with others included."""
    found: list[float] = []
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.2):
            found[:] = [max([*found, *(peak_mb(one) for one in _below(os.getpid(), b"ray::"))])]

    thread = threading.Thread(target=look, daemon=True)
    found.append(0.0)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()


def _below(top: int, title: bytes) -> list[int]:
    """Processes that descend from `top` and are called so."""
    parents: dict[int, int] = {}
    titles: dict[int, bytes] = {}
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended meanwhile
            titles[int(path.name)] = (path / "cmdline").read_bytes()
            parents[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
    found = []
    for one, name in titles.items():
        above = one
        while above in parents and above != top:
            above = parents[above]
        if above == top and name.startswith(title):
            found.append(one)
    return found


def peak_mb(process: int | str = "self") -> float:
    """The largest resident memory of a process so far: of this one alone, not of Ray's workers. 0 when it is gone."""
    with suppress(OSError, KeyError):
        lines = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) / 1024
    return 0.0
