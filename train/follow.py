"""A run as its driver sees it: the files that rank 0 writes, looked at while the workers train.

What they tell goes to the progress line, to the log, to the run's events and to the numbers for Prometheus. The driver
does that, and not rank 0: it outlives workers that die or are replaced, and a training that is shorter than the ten
seconds in which Ray sends numbers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..core.log import log
from ..core.progress import Progress
from ..core.remote_path import RemotePath
from . import course, events
from .course import read_course
from .events import read_events
from .metrics import last_row

EVERY_S = 0.5
STORE_EVERY_S = 5.0  # each look asks a store some times
RATES = ("tokens_per_second", "mfu")


@contextmanager
def follow(folder: Path, step: int, tokens: int, progress: Progress) -> Iterator[None]:
    """Tell what happens in the folder of a training that goes on after `step`, by which `tokens` had been counted."""
    stop, every = threading.Event(), STORE_EVERY_S if isinstance(folder, RemotePath) else EVERY_S
    follower = Follower(folder, step, tokens, progress)

    def watch() -> None:
        while not stop.wait(every):
            follower.look()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        follower.look()
        follower.end()


class Follower:
    """Knows what stood in the folder, and tells what is new there with each look."""

    def __init__(self, folder: Path, step: int, tokens: int, progress: Progress) -> None:
        self._folder, self._step, self._tokens, self._progress = folder, step, tokens, progress
        self._spikes = len(read_events(folder))
        lines = read_course(folder)
        self._lines, self._began_before = len(lines), any(line.get("what") == "start" for line in lines)
        self._sizes = {name: self._size(name) for name in (events.FILE_NAME, course.FILE_NAME)}
        self._gauges: dict[str, float] = {}  # shown with each look: Ray drops what is not set again
        self._saved: float | None = None  # when the newest checkpoint came into place, or the workers began

    def look(self) -> None:
        if self._grown(events.FILE_NAME):
            self._tell_spikes()
        if self._grown(course.FILE_NAME):
            self._tell_course()
        if self._saved is not None:
            self._progress.show("crawl2chat_checkpoint_age_seconds", max(0.0, time.time() - self._saved))
        row = last_row(self._folder)
        if row is not None and row["step"] > self._step:
            self._tell_row(row)
        for name, value in self._gauges.items():
            self._progress.show(name, value)

    def end(self) -> None:
        """The training is over, however it ended: what shows its pace must not go on as if it were not.

        The age of the checkpoint is not set again, so Ray drops it.
        """
        if self._saved is not None:
            for name in RATES:
                self._progress.show(f"crawl2chat_{name}", 0.0)

    def _tell_spikes(self) -> None:
        found = read_events(self._folder)
        for event in found[self._spikes :]:
            log.warning("step %d: %s: %s", event["step"], event["reason"], event["action"])
            self._progress.tell("spike", **{key: event[key] for key in ("step", "reason", "action")})
            self._progress.count("crawl2chat_spikes_total", 1)
        self._spikes = max(self._spikes, len(found))

    def _tell_course(self) -> None:
        found = read_course(self._folder)
        for line in found[self._lines :]:
            if line.get("what") == "start":
                word = "training_resumed" if self._began_before else "training_began"
                self._progress.tell(word, step=line["step"], ranks=line.get("ranks"))
                self._progress.count("crawl2chat_resumes_total", int(self._began_before))
                self._began_before = True
            elif line.get("what") == "checkpoint":
                self._progress.tell("checkpoint", step=line["step"])
            elif line.get("what") == "waits":
                log.info("training waits for the stage shards before step %d", line["step"])
                self._progress.tell("training_waits", step=line["step"])
                continue
            self._saved = line.get("time", time.time())
        self._lines = max(self._lines, len(found))

    def _tell_row(self, row: dict[str, Any]) -> None:
        fresh = row["tokens_seen"] - self._tokens
        self._progress.count("crawl2chat_tokens_total", fresh)
        self._gauges = {f"crawl2chat_{name}": row[name] for name in ("loss", *RATES) if name in row}
        self._progress.advance(row["step"] - self._step, fresh, f"loss {row['loss']:.3f}")
        self._step, self._tokens = row["step"], row["tokens_seen"]

    def _grown(self, name: str) -> bool:
        """Whether a file has another size than at the last look."""
        before, self._sizes[name] = self._sizes[name], self._size(name)
        return self._sizes[name] != before

    def _size(self, name: str) -> int:
        try:
            return (self._folder / name).stat().st_size
        except OSError:
            return 0
