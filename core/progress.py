"""Progress of one stage: a bar with rate and time left on a terminal, a line now and then elsewhere.

A terminal has one bar at a time: of two stages at work (late.py) the later one has lines.

Of a stage of a run also an event now and then (run_events.py), and numbers for Prometheus (meters.py).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from . import meters
from .run_events import RunEvents

console = Console(highlight=False)
LINE_EVERY_S = 10.0
EVENT_EVERY_S = 30.0
_bar = threading.Lock()  # held by who shows one


class Progress:
    """Counts done steps out of a total, and a second quantity (documents, tokens) shown as a rate.

    with Progress("extract") as progress:
        progress.start(8, counting="documents")
        progress.advance(1, 120, note="loss 3.2")
    """

    def __init__(self, stage: str, events: RunEvents | None = None) -> None:
        self.stage = stage
        self._events = events
        self.labels = {"run": events.name if events else "", "stage": stage}
        self._bar: Bar | None = None
        self._total = self._done = 0
        self._amount = 0.0
        self._counting = ""
        self._began = self._last_line = self._last_event = time.monotonic()
        self._done_before = 0
        self._stopped = threading.Event()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_bar()
        if self._total and error is None:
            console.print(f"  {self.stage:<12} {self._line()}", soft_wrap=True)

    def start(self, total: int, done: int = 0, counting: str = "") -> None:
        """Begin to count to `total`; `done` of it were done by an earlier attempt. Call it again for a next part."""
        self._end_bar()
        self._total, self._done, self._done_before, self._counting = total, done, done, counting
        self._amount = 0.0
        self._began = self._last_line = time.monotonic()
        self._show_share()
        if console.is_terminal and _bar.acquire(blocking=False):
            columns = (
                TextColumn("  {task.description:<12}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
            )
            self._bar = Bar(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console, transient=True)
            self._bar.add_task(self.stage, total=total, completed=done, rate="")
            self._bar.start()

    def advance(self, steps: int, amount: float = 0.0, note: str = "") -> None:
        """`steps` more are done, with `amount` more documents or tokens. Raises KeyboardInterrupt after `stop`."""
        if self._stopped.is_set():
            raise KeyboardInterrupt
        self._done += steps
        self._amount += amount
        now = time.monotonic()
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self._done, rate=f"{self._rate()} {note}".strip())
        elif now - self._last_line > LINE_EVERY_S:
            self._last_line = now
            console.print(f"  {self.stage:<12} {self._line()}  {note}".rstrip(), soft_wrap=True)
        if now - self._last_event > EVENT_EVERY_S:
            self._last_event = now
            self._tell_progress(note)
        self._show_share()

    def stop(self) -> None:
        """Interrupt the work, from another thread, at its next step."""
        self._stopped.set()

    def tell(self, event: str, **fields: Any) -> None:
        """Add an event of this stage to those of its run."""
        if self._events is not None:
            self._events.add(event, stage=self.stage, **fields)

    def count(self, name: str, amount: float, **labels: str) -> None:
        """Add to one of the counters of meters.py, for this stage."""
        meters.count(name, amount, **self.labels, **labels)

    def show(self, name: str, value: float) -> None:
        """Set one of the gauges of meters.py, for this stage."""
        meters.show(name, value, **self.labels)

    def count_unit(self, counters: Mapping[str, int]) -> None:
        """Count what a unit's report accounts for: documents, tokens, drops by reason."""
        documents, tokens, dropped = meters.accounted(counters)
        self.count("crawl2chat_documents_total", documents)
        self.count("crawl2chat_tokens_total", tokens)
        for reason, number in dropped.items():
            self.count("crawl2chat_dropped_total", number, reason=reason)

    def _end_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
            _bar.release()

    def _show_share(self) -> None:
        if self._total:
            self.show("crawl2chat_progress", self._done / self._total)

    def _tell_progress(self, note: str) -> None:
        seconds, fresh = max(time.monotonic() - self._began, 1e-9), self._done - self._done_before
        rate = {"counting": self._counting, "amount": self._amount, "per_second": round(self._amount / seconds, 1)}
        left = {"seconds_left": round(seconds / fresh * (self._total - self._done), 1)} if fresh else {}
        self.tell("progress", done=self._done, total=self._total, **rate, **left, **({"note": note} if note else {}))

    def _rate(self) -> str:
        seconds = max(time.monotonic() - self._began, 1e-9)
        return f"{self._amount / seconds:,.0f} {self._counting}/s" if self._counting and self._amount else ""

    def _line(self) -> str:
        seconds = time.monotonic() - self._began
        fresh = self._done - self._done_before
        left = seconds / fresh * (self._total - self._done) if fresh else 0.0
        tail = f", {left:.0f} s left" if self._done < self._total and fresh else ""
        return f"{self._done}/{self._total}  {self._rate()}  {seconds:.1f} s{tail}"
