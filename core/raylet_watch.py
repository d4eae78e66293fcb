"""End a command whose Ray has died under it.

Ray ends a worker when its node's raylet dies, and a job's driver with its supervisor, but not a driver that was started
by hand: its calls wait for ever. So does a command on a laptop whose raylet the system kills for its memory.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from .log import log

CREDENTIALS = "3i"  # of a socket's other end: process, user, group


@contextmanager
def watched(raylet: str) -> Iterator[None]:
    """Within, this process ends with exit code 1 when the raylet dies whose socket's file is given.

    At once, as by a kill: what would clean up waits for the same Ray. Needs Linux, and a raylet that this process can
    see; else nothing is watched.
    """
    try:
        process = _process_behind(raylet)
    except (OSError, AttributeError) as failure:
        log.debug("the raylet is not watched: %s", failure)
        yield
        return
    over, ended = os.pipe()
    watch = threading.Thread(target=_watch, args=(process, over), name="raylet watch", daemon=True)
    watch.start()
    try:
        yield
    finally:
        os.close(ended)
        watch.join()
        os.close(over)


def _process_behind(name: str) -> int:
    """A handle of the process that listens at a socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.connect(name)
        told = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize(CREDENTIALS))
    return os.pidfd_open(struct.unpack(CREDENTIALS, told)[0])


def _watch(raylet: int, over: int) -> None:
    """Wait until the raylet ends, or `over` does."""
    poll = select.poll()
    for one in (raylet, over):
        poll.register(one, select.POLLIN)
    if over not in (one for one, _ in poll.poll()):
        log.error("Ray has died on this machine, and with it what ran\n  fix: the same command continues the run")
        os._exit(1)
    os.close(raylet)
