"""What the workers of a local Ray have resident while a run goes on, looked at now and then, by stage afterwards.

A worker counts with the processes that it started, without the pages of Ray's object store that it has mapped. Where
there is no /proc nothing is seen.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..core.run import Run

EVERY_S = 0.25
WORKER = b"ray::"
PROC = Path("/proc")


class Looks:
    """(time, MB of the largest worker) of each look."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, float]] = []
        self._over = threading.Event()

    def until_over(self) -> None:
        while not self._over.wait(EVERY_S):
            with suppress(OSError):
                if (most := largest_worker_mb(os.getpid())) > 0:
                    self.seen.append((time.time(), most))

    def end(self) -> None:
        self._over.set()

    def by_stage(self, run: Run, stages: list[str]) -> dict[str, float]:
        """The most of each stage: between the times of its first and its last file."""
        found = {}
        for stage in stages:
            began, ended = run.stage(stage) / "started.json", run.stage(stage) / "manifest.json"
            if began.exists() and ended.exists():
                since, until = began.stat().st_mtime, ended.stat().st_mtime
                here = [most for at, most in self.seen if since <= at <= until + EVERY_S]
                if here:
                    found[stage] = max(here)
        return found


@contextmanager
def looking() -> Iterator[Looks]:
    """Within, a thread looks."""
    looks = Looks()
    thread = threading.Thread(target=looks.until_over, name="plan-watch", daemon=True)
    if PROC.is_dir():
        thread.start()
    try:
        yield looks
    finally:
        looks.end()
        if thread.is_alive():
            thread.join()


def largest_worker_mb(ancestor: int) -> float:
    """Of the workers below this process: MB of the one that holds most, its own children among it."""
    parents = _parents()
    children: dict[int, list[int]] = {}
    for process, parent in parents.items():
        children.setdefault(parent, []).append(process)
    return max((_tree_mb(one, children) for one in _below(ancestor, children) if _is_worker(one)), default=0.0)


def _parents() -> dict[int, int]:
    found = {}
    for name in (one.name for one in PROC.iterdir()):
        if name.isdigit():
            with suppress(OSError, IndexError, ValueError):
                found[int(name)] = int((PROC / name / "stat").read_text().rpartition(")")[2].split()[1])
    return found


def _below(ancestor: int, children: dict[int, list[int]]) -> Iterator[int]:
    for child in children.get(ancestor, ()):
        yield child
        yield from _below(child, children)


def _is_worker(process: int) -> bool:
    try:
        return (PROC / str(process) / "cmdline").read_bytes().startswith(WORKER)
    except OSError:
        return False


def _tree_mb(process: int, children: dict[int, list[int]]) -> float:
    return sum(map(_own_mb, (process, *_below(process, children))))


def _own_mb(process: int) -> float:
    """Resident, anonymous and of files; without shared memory, which is Ray's object store."""
    with suppress(OSError, ValueError):
        lines = (PROC / str(process) / "status").read_text().splitlines()
        values = dict(line.split(":", 1) for line in lines if line.startswith(("RssAnon", "RssFile")))
        return sum(int(value.split()[0]) for value in values.values()) * 1024 / 1e6
    return 0.0
