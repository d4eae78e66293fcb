"""Extraction behind a fence: in a child process that a page may break, and only a page's own outcome with it.

In: pages as bytes. Out, in their order, what each says, or why it was refused: extract_timeout (value: the seconds
of processor time allowed), extract_memory (value: the MB allowed), extract_error (the engine raised, or its process
died).

C code that does not return hears no Python, and memory that C++ cannot get ends the process: so the engine runs in a
child that has clocks and a memory limit of the operating system's. Pages go to it in groups over a pipe. A group that
breaks it is done again page by page in a new child; a page that breaks a used child is judged by a new one, so that
what other pages left behind never decides. The child ends when the pipe closes, also when its parent was killed; one
that hangs then is ended by its own clock.
"""

from __future__ import annotations

import atexit
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec

from ...core.errors import StageError

GROUP_PAGES = 32
GROUP_BYTES = 2 << 20
TIMES_UP = (signal.SIGPROF, signal.SIGALRM)  # of the processor's clock, and of the one on the wall
READY = b"ready\n"  # what a child says first: an engine that cannot start is no page's fault

CHAPTERS = "chapters"  # the engine for books; no choice of the recipe
OPTIONAL = "trafilatura"  # an extra of the package; the other engines come with it

Html = tuple[bytes, str | None]  # and the charset of the HTTP header


@dataclass(frozen=True, slots=True)
class Extracted:
    """What a page says: the <title>, and the main text."""

    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a page gave no text: the ledger's reason, value and detail."""

    reason: str
    value: float | None = None
    detail: str = ""


@cache
def fence(engine: str, page_seconds: float, page_mb: int) -> Fence:
    """This process's fence for an engine: one child serves all units that a worker does."""
    if engine == OPTIONAL and find_spec(OPTIONAL) is None:
        raise StageError(f"extract.engine is {engine}, which is not installed", 'pip install "crawl2chat[trafilatura]"')
    made = Fence(engine, page_seconds, page_mb)
    atexit.register(made.close)
    return made


class Fence:
    """Runs an engine in a child process, which starts with the first page and is replaced when a page breaks it."""

    def __init__(self, engine: str, page_seconds: float, page_mb: int) -> None:
        self._arguments = [engine, str(page_seconds), str(page_mb)]
        self._limits = {"extract_timeout": page_seconds, "extract_memory": float(page_mb)}
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._fresh = self._was_fresh = True

    def extract(self, pages: Sequence[Html]) -> list[Extracted | Refused]:
        """What becomes of each page. Raises nothing that a page could cause."""
        with self._lock:
            return [one for group in _groups(pages) for one in self._group(group)]

    @property
    def child(self) -> int | None:
        """The child's process id, once it runs."""
        return self._child.pid if self._child is not None else None

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None

    def _group(self, group: list[Html]) -> list[Extracted | Refused]:
        found = self._ask(group)
        if isinstance(found, list):
            return found
        return [self._alone(page) for page in group] if len(group) > 1 else [self._again(group[0], found)]

    def _alone(self, page: Html) -> Extracted | Refused:
        found = self._ask([page])
        return found[0] if isinstance(found, list) else self._again(page, found)

    def _again(self, page: Html, refused: Refused) -> Extracted | Refused:
        """A second try in a new child, for a page that broke a used one. Time does not depend on what was before."""
        if self._was_fresh or refused.reason == "extract_timeout":
            return refused
        found = self._ask([page])
        return found[0] if isinstance(found, list) else found

    def _ask(self, group: list[Html]) -> list[Extracted | Refused] | Refused:
        """The child's answer for a group, or how the group ended the child, which is then gone."""
        child = self._child = self._child or self._start()
        assert child.stdin is not None
        assert child.stdout is not None
        self._was_fresh, self._fresh = self._fresh, False
        try:
            pickle.dump(group, child.stdin, protocol=5)
            child.stdin.flush()
            answer = _Answer(child.stdout).load()
        except (OSError, EOFError, pickle.UnpicklingError):
            answer = None
        if isinstance(answer, list):
            return answer
        self.close()
        return self._verdict(answer or child.returncode)

    def _start(self) -> subprocess.Popen[bytes]:
        """A new child. It must not hear the terminal's Ctrl-C: whoever hears it closes the pipe."""
        paths = os.pathsep.join(path for path in sys.path if path)
        one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self._fresh = True
        child = subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.fence_child", *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": paths, **one_thread},
            process_group=0,
        )
        assert child.stdout is not None
        if child.stdout.read(len(READY)) != READY:
            child.kill()
            raise StageError(
                f"the engine {self._arguments[0]} of extraction does not start: its process ended with status "
                f"{child.wait()}; its own message stands above, or in the worker's log"
            )
        return child

    def _verdict(self, end: str | int) -> Refused:
        """end: the reason that the child gave, or its exit status: minus the signal that ended it."""
        if isinstance(end, str):
            return Refused(end, self._limits[end])
        if -end in TIMES_UP:
            return Refused("extract_timeout", self._limits["extract_timeout"])
        said = f"signal {signal.Signals(-end).name}" if end < 0 else f"status {end}"
        return Refused("extract_error", None, f"the extracting process ended with {said}")


class _Answer(pickle.Unpickler):
    """What the child wrote: nothing that it names is called but the two kinds of outcomes. Pages reach C code there."""

    def find_class(self, module: str, name: str) -> type[Extracted | Refused]:
        for kind in (Extracted, Refused):
            if (module, name) == (kind.__module__, kind.__qualname__):
                return kind
        raise pickle.UnpicklingError(f"{module}.{name} is no outcome of a page")


def _groups(pages: Sequence[Html]) -> Iterator[list[Html]]:
    """Pages in groups of some, or of some megabytes."""
    group: list[Html] = []
    size = 0
    for page in pages:
        if group and (len(group) == GROUP_PAGES or size + len(page[0]) > GROUP_BYTES):
            yield group
            group, size = [], 0
        group.append(page)
        size += len(page[0])
    if group:
        yield group
