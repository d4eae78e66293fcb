"""RUN/report.html while a command works on the run: written anew after each stage, and now and then in between.

A thread writes it, so that no stage waits for it. A page that cannot be written is a warning in the log, and never the
end of a run: whatever goes wrong here stays here. Once is no warning, as a stage that puts its files in their place may
take them from under a page that is being made; the next one will find them.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from ..core.errors import StoreError, ending
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
        self._wake, self._stop = threading.Event(), threading.Event()
        self._failures, self._told, self._pause = 0, "", every
        self._thread = threading.Thread(target=self._now_and_then, daemon=True, name="report")

    def __enter__(self) -> Keeper:
        self._set(replace(begun(self._stages), stage=next(iter(self._stages), "")))
        self._thread.start()
        return self

    def done(self, stage: str, ran: bool) -> None:
        """A stage is up to date; the one behind it begins."""
        behind = self._stages[self._stages.index(stage) + 1 :]
        self._set(replace(self._state, stage=next(iter(behind), ""), beside=""))
        if ran:
            self._wake.set()

    def at_work(self, names: Sequence[str]) -> None:
        """These are under way: the first that is not up to date, and one beside it."""
        stage, *beside = names
        self._set(replace(self._state, stage=stage, beside=next(iter(beside), "")))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._wake.set()
        self._thread.join()
        if error is None:
            ended = replace(self._state, state="finished", stage="", beside="")
        else:
            ended = replace(self._state, beside="", **ending(error)._asdict())
        self._set(ended)
        self._write(last=True)

    def _set(self, state: State) -> None:
        self._state = state
        try:
            write_state(self._folder, state)
        except (OSError, StoreError) as failure:
            self._tell(failure)

    def _now_and_then(self) -> None:
        while not self._stop.is_set():
            self._write()
            self._wake.wait(self._pause)
            self._wake.clear()

    def _write(self, last: bool = False) -> None:
        began = time.monotonic()
        try:
            self._write_page()
            self._failures = 0
        except Exception as failure:  # whatever it is: the run is worth more than its page
            self._failures += 1
            log.debug("", exc_info=failure)
            if last or self._failures > 1:
                self._tell(failure)
        self._pause = max(self._every, LEAST_PAUSE * (time.monotonic() - began))

    def _tell(self, failure: Exception) -> None:
        """A warning, each kind once."""
        said = f"{type(failure).__name__}: {failure}"
        log.log(logging.DEBUG if said == self._told else logging.WARNING, "no report in %s: %s", self._folder, said)
        self._told = said
