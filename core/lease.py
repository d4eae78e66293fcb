"""A run in an object store that one process works on: RUN/lock, an object that its holder puts again and again.

    {owner, process, host, machine, started, renewed}

It is taken by a put on the condition that nothing stands there, renewed and taken over by puts on the condition that
it is still the one that was seen: of two processes one succeeds. Nobody tells the store that a process died, so a lease
that was not renewed for EXPIRES_S, by the store's clock, is free; on the same machine, where the process can be looked
for, at once. A holder that could not renew it is stopped by an interrupt before it is free.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .errors import BusyError, StoreError
from .interrupting import interrupt, interruptible
from .log import log
from .object_store import Changed
from .remote_path import RemotePath

FILE_NAME = "lock"
EXPIRES_S = 90.0
RENEW_S = 15.0
TRIES = 5


@contextmanager
def hold_lease(folder: RemotePath) -> Iterator[None]:
    """Hold a folder. Raises BusyError when another process does, or has taken it because this one was out of reach."""
    lease = _Lease(folder)
    lease.take()
    try:
        with interruptible():
            yield
    except KeyboardInterrupt:
        if lease.lost:
            raise BusyError(
                f"{folder} could not be held: {lease.lost}", "see to the network; the same command continues"
            ) from None
        raise
    finally:
        lease.give_back()


def lease_holder(folder: RemotePath) -> str | None:
    """The number of the process that holds a folder; None when none does."""
    found = _read(folder / FILE_NAME)
    return None if found is None or _free(*found[1:]) else str(found[1].get("process", ""))


class _Lease:
    def __init__(self, folder: RemotePath) -> None:
        self._folder, self._path = folder, folder / FILE_NAME
        about = {"owner": uuid.uuid4().hex, "process": os.getpid(), "host": socket.gethostname()}
        self._about, self._puts = about | {"machine": _machine(), "started": _started(os.getpid())}, 0
        self._tag, self.lost, self._end = "", "", threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True, name="lease")

    def take(self) -> None:
        store, key = self._path.store, self._path.key
        for _ in range(TRIES):
            with suppress(FileExistsError):
                self._tag = store.create(key, self._data())
                break
            found = _read(self._path)
            if found is None:
                continue
            tag, holder, age = found
            if not _free(holder, age):
                raise self._busy(holder, age)
            with suppress(Changed):
                self._tag = store.exchange(key, self._data(), tag)
                break
        else:
            raise BusyError(f"{self._folder} is wanted by other processes", "give the command again")
        self._thread.start()

    def _put(self) -> str:
        """Renew it: its new tag. Raises Changed when another process has taken it."""
        try:
            return self._path.store.exchange(self._path.key, self._data(), self._tag)
        except Changed:
            found = _read(self._path)
            if found is None or found[1].get("owner") != self._about["owner"]:
                raise
            return found[0]  # of a put that came through, and whose answer did not

    def _data(self) -> bytes:
        """Never the same twice: a store's tag may be the digest of what lies there, and has to tell puts apart."""
        self._puts += 1
        return json.dumps(self._about | {"renewed": self._puts}).encode()

    def give_back(self) -> None:
        self._end.set()
        self._thread.join()
        with suppress(FileNotFoundError, StoreError):  # else it expires
            if not self.lost and self._path.store.age(self._path.key)[0] == self._tag:
                self._path.unlink(missing_ok=True)

    def _renew(self) -> None:
        renewed = time.monotonic()
        while not self._end.wait(RENEW_S):
            try:
                self._tag = self._put()
                renewed = time.monotonic()
            except Changed:
                self.lost = "another process has taken it"
            except Exception as failure:
                log.warning("the lock of %s is not renewed: %s", self._folder, failure)
                if time.monotonic() - renewed > EXPIRES_S - 2 * RENEW_S:
                    self.lost = f"its lock was not renewed: {failure}"
            if self.lost:
                interrupt()
                return

    def _busy(self, holder: dict[str, Any], age: float) -> BusyError:
        return BusyError(
            f"{self._folder} is being worked on by process {holder.get('process', 'unknown')} on "
            f"{holder.get('host', 'an unknown machine')}, which said so {age:.0f} s ago",
            "wait for it, stop it, or give this run another name with --set name=…; "
            f"if it is dead, the run is free {EXPIRES_S:.0f} s after it last said so",
        )


def _read(path: RemotePath) -> tuple[str, dict[str, Any], float] | None:
    """Tag, holder and seconds since it was renewed."""
    try:
        tag, age = path.store.age(path.key)
        found = json.loads(path.store.read(path.key))
    except FileNotFoundError:
        return None
    except ValueError:
        found = {}
    return tag, found if isinstance(found, dict) else {}, age


def _free(holder: dict[str, Any], age: float) -> bool:
    if age > EXPIRES_S:
        return True
    here = bool(holder.get("machine")) and holder["machine"] == _machine()
    return here and _started(holder.get("process", 0)) != holder.get("started")


def _machine() -> str:
    """Whose process numbers these are: this start of this machine, and the container; "" where that is not known."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _started(process: int) -> str:
    """When a process of this machine started, which with its number says which one it is; "" when it does not live."""
    try:
        state, *fields = Path(f"/proc/{process}/stat").read_text(encoding="latin-1").rpartition(") ")[2].split()
    except OSError:
        return ""
    return "" if state in "ZX" else fields[18]  # the 22nd of all
