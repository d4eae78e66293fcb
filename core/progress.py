"""Progress of one stage: a bar with rate and time left on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

console = Console(highlight=False)
LINE_EVERY_S = 10.0


class Progress:
    """Counts done steps out of a total, and a second quantity (documents, tokens) shown as a rate.

    with Progress("extract") as progress:
        progress.start(8, counting="documents")
        progress.advance(1, 120, note="loss 3.2")
    """

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self._bar: Bar | None = None
        self._total = self._done = 0
        self._amount = 0.0
        self._counting = ""
        self._began = self._last_line = time.monotonic()
        self._done_before = 0

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        if self._total and error is None:
            console.print(f"  {self.stage:<12} {self._line()}", soft_wrap=True)

    def start(self, total: int, done: int = 0, counting: str = "") -> None:
        """Begin to count to `total`; `done` of it were done by an earlier attempt. Call it again for a next part."""
        if self._bar is not None:
            self._bar.stop()
        self._total, self._done, self._done_before, self._counting = total, done, done, counting
        self._amount = 0.0
        self._began = self._last_line = time.monotonic()
        if console.is_terminal:
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
        """`steps` more are done, with `amount` more documents or tokens."""
        self._done += steps
        self._amount += amount
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self._done, rate=f"{self._rate()} {note}".strip())
        elif time.monotonic() - self._last_line > LINE_EVERY_S:
            self._last_line = time.monotonic()
            console.print(f"  {self.stage:<12} {self._line()}  {note}".rstrip(), soft_wrap=True)

    def _rate(self) -> str:
        seconds = max(time.monotonic() - self._began, 1e-9)
        return f"{self._amount / seconds:,.0f} {self._counting}/s" if self._counting and self._amount else ""

    def _line(self) -> str:
        seconds = time.monotonic() - self._began
        fresh = self._done - self._done_before
        left = seconds / fresh * (self._total - self._done) if fresh else 0.0
        tail = f", {left:.0f} s left" if self._done < self._total and fresh else ""
        return f"{self._done}/{self._total}  {self._rate()}  {seconds:.1f} s{tail}"
