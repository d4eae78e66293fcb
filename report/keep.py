"""RUN/report.html while a command works on the run: written anew after each stage, and now and then in between.

A page that cannot be written is a warning in the log, and never the end of a run: whatever goes wrong here stays here.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from ..core.errors import Crawl2ChatError
from ..core.log import log
from .state import State, begun, write_state

FILE_NAME = "report.html"
EVERY_S = 20.0
LEAST_PAUSE = 50  # times what the last page took: at most 2 % of a core go into pages


class Keeper:
    """`with Keeper(…) as keeper:` around the stages; `keeper.done(name)` after each. `write` makes the page.

    The caller holds the run's lock.
    """

    def __init__(
        self, folder: Path, stages: Sequence[str], write: Callable[[], object], every: float = EVERY_S
    ) -> None:
        self._folder, self._write_page, self._every = folder, write, every
        self._stages = list(stages)
        self._state = State()
        self._stop = threading.Event()
        self._one_at_a_time = threading.Lock()
        self._pause = every
        self._told = ""
        self._thread = threading.Thread(target=self._now_and_then, daemon=True, name="report")

    def __enter__(self) -> Keeper:
        self._state = replace(begun(self._stages), stage=next(iter(self._stages), ""))
        self._write()
        self._thread.start()
        return self

    def done(self, stage: str, ran: bool) -> None:
        """A stage is up to date; the one behind it begins."""
        behind = self._stages[self._stages.index(stage) + 1 :]
        self._state = replace(self._state, stage=next(iter(behind), ""))
        if ran:
            self._write()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if error is None:
            self._state = replace(self._state, state="finished", stage="")
        elif isinstance(error, KeyboardInterrupt):
            self._state = replace(self._state, state="interrupted")
        else:
            ours = isinstance(error, Crawl2ChatError)
            said = error.message if ours else f"{type(error).__name__}: {error}"
            self._state = replace(self._state, state="failed", error=said, fix=error.fix if ours else "")
        self._write()

    def _now_and_then(self) -> None:
        while not self._stop.wait(self._pause):
            self._write()

    def _write(self) -> None:
        began = time.monotonic()
        try:
            with self._one_at_a_time:
                write_state(self._folder, self._state)
                self._write_page()
        except Exception as failure:  # whatever it is: the run is worth more than its page
            said = f"{type(failure).__name__}: {failure}"
            level = logging.DEBUG if said == self._told else logging.WARNING  # each kind once
            log.log(level, "no report in %s: %s", self._folder, said)
            log.debug("", exc_info=failure)
            self._told = said
        self._pause = max(self._every, LEAST_PAUSE * (time.monotonic() - began))
