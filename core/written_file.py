"""Files that are written on this machine's disk, and put into an object store whole.

A put is atomic, so nothing half-written is ever seen there, and a process that is killed leaves nothing of a file that
it had not put. `open_to_write` puts when the file is closed, and every EVERY_S while it grows; `whole_file` when its
block ends well.
"""

from __future__ import annotations

import errno
import io
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .local_copies import adopt, local_copy, scratch
from .object_store import Found
from .remote_path import RemotePath

EVERY_S = 10.0


@contextmanager
def whole_file(target: RemotePath) -> Iterator[Path]:
    """A local path to write to, whose bytes are put at `target` when the block ends well."""
    partial = partial_of(target)
    try:
        yield partial
        adopt(partial, target, target.store.put(partial, target.key))
    finally:
        partial.unlink(missing_ok=True)


def partial_of(target: RemotePath) -> Path:
    """A name on this machine's disk that no other file has."""
    return scratch() / f".{target.name}.{uuid.uuid4().hex[:8]}.partial"


@contextmanager
def kept_folder(target: RemotePath) -> Iterator[Path]:
    """A local folder, whose files are put below `target` when the block ends well."""
    folder = scratch() / f"{target.name}.{uuid.uuid4().hex[:8]}"
    folder.mkdir()
    try:
        yield folder
        put_files(folder, target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def put_files(source: Path, target: RemotePath) -> None:
    """Put all files of a local folder below `target`."""
    for path in sorted(one for one in source.rglob("*") if one.is_file()):
        target.store.put(path, f"{target.key}/{path.relative_to(source).as_posix()}")


def open_to_write(
    target: RemotePath, mode: str, buffering: int, encoding: str | None, errors: str | None, newline: str | None
) -> Any:
    """As `io.open` does, for modes that write."""
    raw = WrittenFile(target, mode.replace("b", "").replace("t", ""))
    if buffering == 0:
        return raw
    buffer = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
    if "b" in mode:
        return buffer
    return io.TextIOWrapper(buffer, encoding or "utf-8", errors, newline, line_buffering=buffering == 1)


class WrittenFile(io.FileIO):
    """The raw file. `put` brings what was written by now into the store."""

    def __init__(self, target: RemotePath, mode: str) -> None:
        self._target, self._local = target, partial_of(target)
        found = None if "w" in mode else target.store.find(target.key, folders=False)
        there = found is not None
        if "x" in mode and there:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
        if there:
            shutil.copyfile(local_copy(target, found), self._local)
        elif "r" in mode:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(target))
        self._new = not there
        self._found: Found | None = None
        self._put_at = time.monotonic()
        super().__init__(self._local, mode)

    def write(self, data: Any, /) -> int:
        number = super().write(data)
        self._new = True
        if time.monotonic() - self._put_at > EVERY_S:
            self.put()
        return number

    def truncate(self, size: int | None = None, /) -> int:
        self._new = True
        return super().truncate(size)

    def put(self) -> None:
        """Put the file as it is, if something in it is new."""
        if self._new:
            self._found = self._target.store.put(self._local, self._target.key)
            self._new, self._put_at = False, time.monotonic()

    def close(self) -> None:
        if self.closed:
            return
        super().close()
        try:
            self.put()
            if self._found is not None:
                adopt(self._local, self._target, self._found)
        finally:
            self._local.unlink(missing_ok=True)
