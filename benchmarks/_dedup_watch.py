"""Looking at the stage while it works: seconds of each pass, the memory of this process and of Ray's workers."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


class Passes:
    """Of each pass, by the folder of its records or its files: seconds; of the shuffles rows and edges."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.rows: dict[str, int] = {}
        self.edges = 0

    def map(self, way: Callable[..., Any]) -> Callable[..., Any]:
        """core.unit_map.map_units, with a clock."""

        def run(*given: Any, **named: Any) -> Any:
            name = named["records"].split("/")[0]
            with self._clock(name):
                return way(*given, **named)

        return run

    def shuffle(self, way: Callable[..., Any]) -> Callable[..., Any]:
        """dedup.shuffle_stage.shuffle, with a clock and counts."""

        def run(units: Any, partitions: int, rows: Any, meet: Any, folder: Path, progress: Any) -> Any:
            above = folder.parent.name  # edges/1-of-2, index/keys, urls
            name = "shuffle of " + {"dedup": folder.name, "index": f"index/{folder.name}"}.get(above, above)
            with self._clock(name):
                reports = way(units, partitions, rows, meet, folder, progress)
            self.rows[name] = self.rows.get(name, 0) + sum(report["rows"] for report in reports)
            self.edges += sum(report.get("edges", 0) for report in reports)
            return reports

        return run

    def end(self, way: Callable[..., Any]) -> Callable[..., Any]:
        """dedup_stage.finish, with a clock."""

        def run(*given: Any, **named: Any) -> Any:
            with self._clock("finish"):
                return way(*given, **named)

        return run

    @contextmanager
    def _clock(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began


@contextmanager
def watched() -> Iterator[Passes]:
    """Watch the passes of the stage that runs meanwhile."""
    from crawl2chat.dedup import dedup_stage

    passes, before = Passes(), (dedup_stage.map_units, dedup_stage.shuffle, dedup_stage.finish)
    dedup_stage.map_units, dedup_stage.shuffle = passes.map(before[0]), passes.shuffle(before[1])
    dedup_stage.finish = passes.end(before[2])
    try:
        yield passes
    finally:
        dedup_stage.map_units, dedup_stage.shuffle, dedup_stage.finish = before


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


def spilled_mb() -> float | None:
    """MB that Ray's object store has written to disk since Ray started. None without Ray."""
    if "ray" not in sys.modules:
        return None
    import ray

    if not ray.is_initialized():
        return None
    from ray._private.internal_api import get_memory_info_reply, get_state_from_address

    reply = get_memory_info_reply(get_state_from_address(ray.get_runtime_context().gcs_address))
    return reply.store_stats.spilled_bytes_total / 1e6


def peak_mb(process: int | str = "self") -> float:
    """The largest resident memory of a process so far: of this one alone, not of Ray's workers. 0 when it is gone."""
    with suppress(OSError, KeyError):
        lines = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) / 1024
    return 0.0
