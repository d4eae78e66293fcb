"""A run as its driver sees it: the files that rank 0 writes, looked at while the workers train."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..core.log import log
from ..core.progress import Progress
from .events import read_events
from .metrics import last_row


@contextmanager
def follow(folder: Path, step: int, tokens: int, progress: Progress) -> Iterator[None]:
    """Move the progress line along with metrics.jsonl, which rank 0 writes, and log what events.jsonl tells."""
    stop = threading.Event()
    known = len(read_events(folder))

    def look() -> None:
        nonlocal step, tokens, known
        events = read_events(folder)
        for event in events[known:]:
            log.warning("step %d: %s: %s", event["step"], event["reason"], event["action"])
        known = max(known, len(events))
        row = last_row(folder)
        if row is not None and row["step"] > step:
            note = f"loss {row['loss']:.3f}"
            progress.advance(row["step"] - step, row["tokens_seen"] - tokens, note)
            step, tokens = row["step"], row["tokens_seen"]

    def watch() -> None:
        while not stop.wait(0.5):
            look()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        look()
