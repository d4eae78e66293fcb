"""Sites that a run serves itself, so that a crawl has something real to fetch without leaving the machine."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ....core.errors import StageError

# Pages of pydoc show what the process holds. So it gets nothing of our environment: no secrets in a page, and the same
# pages in every run (a fixed hash seed orders sets of strings).
_ENVIRONMENT = {"PYTHONHASHSEED": "0", "PYTHONUTF8": "1", "LC_ALL": "C.UTF-8", "HOME": "/nonexistent", "TZ": "UTC"}


@dataclass(frozen=True)
class Site:
    """A site that is being served: its name stands in URLs, its connections lead to the address and port."""

    seeds: list[str]
    connect_to: dict[str, tuple[str, int]]


@contextmanager
def serve_pydoc() -> Iterator[Site]:
    """Serve the pydoc site for the time of the block. It dies with this process, however that dies.

    Its URLs are http://pydoc.localhost/… whatever the port is: a document's identity must not depend on a free port.
    """
    script = Path(__file__).with_name("pydoc_site.py")
    command = [sys.executable, "-P", "-s", "-W", "ignore", str(script)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=_ENVIRONMENT, cwd="/"
    )
    assert process.stdin and process.stdout and process.stderr
    try:
        line = process.stdout.readline()  # the port, once all pages can be served
        if not line.strip().isdigit():
            process.kill()
            message = process.stderr.read().decode(errors="replace").strip()[-300:]
            raise StageError(f"the pydoc site did not start: {message}", f"see what this says: {' '.join(command)}")
        yield Site(["http://pydoc.localhost/index.html"], {"pydoc.localhost": ("127.0.0.1", int(line))})
    finally:
        process.stdin.close()
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()
