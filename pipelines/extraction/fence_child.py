"""The process behind the fence: reads groups of pages, writes what they say. `fence.py` starts it.

    python -m crawl2chat.pipelines.extraction.fence_child ENGINE SECONDS MB

In, on standard input: pickled lists of (bytes, charset). Out, on standard output: for each list, a pickled list of
Extracted or Refused; or, last, the reason for which this process gives up.
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
from .fence import READY, Extracted, Html, Refused


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


def _peak() -> int:
    """The most address space that this process had, in bytes."""
    found = re.search(r"VmPeak:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii", errors="replace"))
    assert found is not None
    return int(found.group(1)) << 10


def main() -> None:
    engine, seconds, megabytes = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not stand among the answers
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process, also in C code
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
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
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            found = answer(group, engine)
        except MemoryError:
            found = "extract_memory"
        signal.setitimer(signal.ITIMER_REAL, 0)
        pickle.dump(found, answers, protocol=5)
        answers.flush()


if __name__ == "__main__":
    main()
