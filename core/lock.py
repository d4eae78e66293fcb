"""A folder that one process works on: FOLDER/lock, held by `flock`, with the process's number in it.

The system releases it when the process dies, however it dies: unlike the number alone, which another process may have
by then, it says whether somebody is at work. A folder in an object store is held by a lease (lease.py).
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .disk import full_disk_named
from .errors import BusyError
from .remote_path import RemotePath

FILE_NAME = "lock"
LOOKS, PAUSE_S = 5, 0.02  # who asks `holder` has the lock for a moment


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Hold a folder, which is made where it is not there. Raises BusyError when another process holds it."""
    if isinstance(folder, RemotePath):
        from .lease import hold_lease

        with hold_lease(folder):
            yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / FILE_NAME).open("a+") as handle:
        for look in range(LOOKS):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if look < LOOKS - 1:
                    time.sleep(PAUSE_S)
                    continue
                handle.seek(0)
                raise BusyError(
                    f"{folder} is being worked on by process {handle.read().strip() or 'unknown'}",
                    "wait for it, stop it, or give this run another name with --set name=…",
                ) from None
        with full_disk_named(folder / FILE_NAME):
            handle.truncate(0)
            handle.write(str(os.getpid()))
            handle.flush()
        yield


def holder(folder: Path) -> str | None:
    """The number of the process that holds a folder, as it stands in the lock; None when none does.

    Of this process too. On another machine's folder it knows what the file system knows of locks there.
    """
    if isinstance(folder, RemotePath):
        from .lease import lease_holder

        return lease_holder(folder)
    try:
        with (folder / FILE_NAME).open("r") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return handle.read().strip()
    except OSError:
        pass
    return None
