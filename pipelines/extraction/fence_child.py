"""The process behind the fence: reads groups of pages, writes what they say. `fence.py` starts it.

    python -m crawl2chat.pipelines.extraction.fence_child ENGINE SECONDS MB

In, on standard input: pickled lists of (bytes, charset). Out, on standard output: for each list, a pickled list of
Extracted or Refused; or, last, the reason for which this process gives up.

SECONDS are of processor time, so that a loaded machine drops no page that a quiet one keeps. A group that uses none,
and waits, is ended by the clock on the wall after PATIENCE times as long.
"""

from __future__ import annotations

import gc
import os
import pickle
import re
import resource
import signal
import sys
from pathlib import Path

from ..extract import extract_all
from .fence import READY, TIMES_UP, Extracted, Html, Refused

PATIENCE = 10.0  # times the processor time that a group may take on the wall


def answer(group: list[Html], engine: str) -> list[Extracted | Refused]:
    """The group's outcomes. When the engine raises, page by page: the page that it raised for is refused."""
    try:
        return [*extract_all(group, engine)]
    except MemoryError:
        raise
    except Exception as error:  # whatever a parser raises for a page: one page among millions, named in the ledger
        if _peak() > (_base + resource.getrlimit(resource.RLIMIT_AS)[0]) / 2:
            raise MemoryError from error  # C code that gets no memory says only that it cannot parse
        if len(group) == 1:
            return [Refused("extract_error", None, f"{type(error).__name__}: {error}"[:500])]
        return [one for page in group for one in answer([page], engine)]


def limit_memory(megabytes: int) -> None:
    """Let this process take that much more address space than it has."""
    global _base
    _base = _peak()
    limit = _base + (megabytes << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


_base = 0


def set_clocks(seconds: float) -> None:
    """End this process when it has used that much processor time, or a multiple has gone by; 0 stops both clocks."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, seconds * PATIENCE)


def _peak() -> int:
    """The most address space that this process had, in bytes."""
    found = re.search(r"VmPeak:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii", errors="replace"))
    assert found is not None
    return int(found.group(1)) << 10


def main() -> None:
    engine, seconds, megabytes = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not stand among the answers
    for one in TIMES_UP:
        signal.signal(one, signal.SIG_DFL)  # ends the process, also in C code
    signal.pthread_sigmask(signal.SIG_UNBLOCK, TIMES_UP)
    extract_all([(b"<title>t</title><p>Loads what the engine needs.</p>", None)], engine)
    gc.freeze()
    limit_memory(megabytes)
    answers.write(READY)
    answers.flush()
    while True:
        try:
            group = pickle.load(requests)
        except EOFError:
            return
        set_clocks(seconds)
        try:
            found = answer(group, engine)
        except MemoryError:
            found = "extract_memory"
        set_clocks(0)
        pickle.dump(found, answers, protocol=5)
        answers.flush()


if __name__ == "__main__":
    main()
