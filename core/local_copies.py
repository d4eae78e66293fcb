"""Copies of a store's objects on this machine's disk, and what is being made there before it is put into the store.

    CACHE/copies/DIGEST/NAME    an object, or a folder of them; DIGEST of address, tag and size: other bytes, other name
    CACHE/scratch/ID/           what a process writes, gone with it; ID.lock is locked while it lives
    CACHE/kept/DIGEST/          what a stage needs a disk for while it works (the crawl's frontier); stays after a kill

CACHE is CRAWL2CHAT_CACHE, else crawl2chat/store in XDG_CACHE_HOME or ~/.cache. Copies of no more than
CRAWL2CHAT_CACHE_GB (20) stay, those used last; what was used in the last minutes stays in any case. A copy that is
mapped or open outlives its removal.
"""

from __future__ import annotations

import atexit
import errno
import fcntl
import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .object_store import Found

if TYPE_CHECKING:
    from .remote_path import RemotePath

KEEP_S = 300.0
LOOK_AFTER = 16  # looks at how much there is, while as much comes as may stay

_came = 0  # bytes, since the last look
_held: list[Any] = []  # the lock of this process's scratch


def cache_folder() -> Path:
    given = os.environ.get("CRAWL2CHAT_CACHE")
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "crawl2chat" / "store"
    return Path(given).absolute() if given else root


def local_copy(path: RemotePath, found: Found | None = None) -> Path:
    """A copy of the object, or folder, as it is now, or as it was `found`: to be read, and not written.

    Raises FileNotFoundError.
    """
    found = found or path.found()
    return _folder_copy(path) if found.folder else _file_copy(path, found)


def adopt(written: Path, path: RemotePath, found: Found) -> None:
    """Keep what was just put into the store as its copy. `written` is gone then."""
    place = _place(path, found)
    if found.size != written.stat().st_size:  # somebody else has put another one
        written.unlink()
        return
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    written.replace(place)
    _count(found.size)


def _file_copy(path: RemotePath, found: Found) -> Path:
    place = _place(path, found)
    with suppress(FileNotFoundError):
        os.utime(place)
        if place.stat().st_size == found.size:  # else the machine died before its disk had all of it
            return place
        place.unlink()
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _alone(place.parent):  # workers that want the same wait for one
        if not place.exists():
            partial = place.with_name(f".{place.name}.{uuid.uuid4().hex[:8]}.partial")
            try:
                path.store.get(path.key, partial)
                partial.replace(place)
            finally:
                partial.unlink(missing_ok=True)
            _count(found.size)
    return place


def _folder_copy(path: RemotePath) -> Path:
    """Of links to the copies of its files."""
    files = path.store.below(path.key)
    mark = "".join(f"{name}\0{one.tag}\0{one.size}\n" for name, one in sorted(files.items()))
    place = _copies() / _digest(f"{path}\n{mark}") / path.name
    if place.is_dir():
        os.utime(place.parent)
        return place
    made = scratch() / uuid.uuid4().hex
    for name, one in files.items():
        target = made / name
        target.parent.mkdir(parents=True, exist_ok=True)
        _link(_file_copy(path / name, one), target)
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        made.rename(place)
    except OSError as failure:  # another process was first
        if failure.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        shutil.rmtree(made)
    return place


def scratch() -> Path:
    """A folder of this process, which is removed when it ends; of killed processes by the next one."""
    return _scratch(os.getpid())


@cache
def _scratch(process: int) -> Path:
    root = cache_folder() / "scratch"
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _alone(root):
        for lock in root.glob("*.lock"):
            with lock.open("r") as handle, suppress(BlockingIOError):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
                lock.unlink(missing_ok=True)
        own = root / f"{process}-{uuid.uuid4().hex[:8]}"
        own.mkdir(mode=0o700)
        handle = own.with_suffix(".lock").open("w")
        fcntl.flock(handle, fcntl.LOCK_EX)
        _held.append(handle)
    atexit.register(_leave, own, process)
    return own


def _leave(own: Path, process: int) -> None:
    if os.getpid() == process:
        shutil.rmtree(own, ignore_errors=True)
        own.with_suffix(".lock").unlink(missing_ok=True)


def work_folder(path: Path, mark: Path) -> Path:
    """Where a stage works that needs a disk: the folder itself, or, of one in a store, one on this machine, the same
    as long as the file `mark` says the same.
    """
    from .remote_path import RemotePath

    if not isinstance(path, RemotePath):
        return path
    folder = cache_folder() / "kept" / _digest(f"{path}\n{mark.read_text(encoding='utf-8')}")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def _place(path: RemotePath, found: Found) -> Path:
    return _copies() / _digest(f"{path}\n{found.tag}\n{found.size}") / path.name


def _copies() -> Path:
    return cache_folder() / "copies"


def _digest(text: str) -> str:
    where = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    return hashlib.sha256(f"{where}\n{text}".encode()).hexdigest()[:40]


def _link(path: Path, target: Path) -> None:
    try:
        target.hardlink_to(path)
    except OSError:
        shutil.copyfile(path, target)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / ".alone").open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _count(size: int) -> None:
    global _came
    _came, most = _came + size, int(float(os.environ.get("CRAWL2CHAT_CACHE_GB") or 20) * 1e9)
    if _came * LOOK_AFTER > most:
        _came = 0
        make_room(most)


def make_room(most: int) -> None:
    """Remove the copies that were not used for the longest time, until no more than `most` bytes lie there."""
    now, found = time.time(), []
    for folder in _copies().iterdir():
        with suppress(OSError):  # another process removes too
            files = [one.stat() for one in folder.rglob("*") if one.is_file()]
            used = max([folder.stat().st_mtime, *(one.st_mtime for one in files)])
            found.append((used, sum(one.st_size for one in files), folder))
    total = sum(size for _, size, _ in found)
    for used, size, folder in sorted(found, key=lambda one: one[0]):
        if total <= most or now - used < KEEP_S:
            break
        shutil.rmtree(folder, ignore_errors=True)
        total -= size
