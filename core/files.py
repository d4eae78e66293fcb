"""Writing files so that nothing half-written looks finished: write beside, flush to disk, rename.

Into an object store (remote_path.py) they are put whole instead, which is as atomic.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

from .disk import full_disk_named
from .remote_path import RemotePath

AT_ONCE = 32
One = TypeVar("One")
Answer = TypeVar("Answer")


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """A path to write to, which becomes `target` when the block ends well, and is removed when it does not.

    Raises DiskFullError where there is no room for it. The temporary name is unique, so that a second attempt and a
    dying first one never write to the same file. It is on this machine's disk.
    """
    if isinstance(target, RemotePath):
        from .written_file import whole_file

        with full_disk_named(target), whole_file(target) as partial:
            yield partial
        return
    partial = partial_of(target)
    with full_disk_named(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            with partial.open("rb") as handle:
                os.fsync(handle.fileno())
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)


def partial_of(target: Path) -> Path:
    """A unique name for what is being written: beside `target`, or, for one in a store, on this machine's disk."""
    if isinstance(target, RemotePath):
        from .written_file import partial_of as on_disk

        return on_disk(target)
    return target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.partial")


def link_or_copy(path: Path, target: Path) -> None:
    """Give a file a second name, atomically: a hard link, and a copy where the file system has none."""
    if isinstance(path, RemotePath) and isinstance(target, RemotePath):
        path.copy_to(target)
        return
    with atomic_path(target) as partial:
        try:
            os.link(path, partial)
        except OSError:
            shutil.copyfile(path, partial)


def write_text(target: Path, text: str) -> None:
    """Write a whole text file atomically."""
    with atomic_path(target) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(target: Path, value: Any) -> None:
    """Write JSON atomically, with sorted keys: equal values give equal bytes."""
    write_text(target, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def at_once(ask: Callable[[One], Answer], about: Sequence[One]) -> list[Answer]:
    """ask() about each, in their order; of many, AT_ONCE at a time. For what waits for a file system, and computes
    little: across a network a file's size takes a millisecond, and a run has up to millions of files.
    """
    if len(about) < 4 * AT_ONCE:
        return [ask(one) for one in about]
    with ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(ask, about))


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def digest(value: Any) -> str:
    """Hex SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def canonical(value: Any) -> str:
    """A value as JSON: equal values give equal text."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


@contextmanager
def folder_to_keep(folder: Path) -> Iterator[Path]:
    """Where a program writes a folder that needs a disk: the folder itself, or, of one in a store, another, whose files
    are put there when the block ends well.
    """
    if not isinstance(folder, RemotePath):
        yield folder
        return
    from .written_file import kept_folder

    with kept_folder(folder) as kept:
        yield kept


def keep_files(place: Path, folder: Path) -> None:
    """Put what by now is in the place that `folder_to_keep` gave for the folder."""
    if isinstance(folder, RemotePath):
        from .written_file import put_files

        put_files(place, folder)


def sync(file: IO[Any]) -> None:
    """Make what was written to an open file last through a crash of the machine."""
    file.flush()
    raw = getattr(getattr(file, "buffer", file), "raw", file)
    if (put := getattr(raw, "put", None)) is not None:  # written_file.py
        put()
    else:
        os.fsync(file.fileno())


def remove_folder(folder: Path) -> None:
    """Remove a folder with all that is in it, if it is there."""
    if isinstance(folder, RemotePath):
        folder.remove_below()
    elif folder.exists():
        shutil.rmtree(folder)


def remove_partials(folder: Path) -> None:
    """Remove what killed attempts left behind. Call only while holding the run's lock and with no worker running."""
    if isinstance(folder, RemotePath):
        folder.store.abort_uploads(f"{folder.key}/")
        return
    for partial in folder.rglob(".*.partial"):
        partial.unlink(missing_ok=True)
