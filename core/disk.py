"""A folder that cannot be written to: what is wrong with it, in words, and above all that its disk is full."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import DiskFullError, StageError
from .remote_path import RemotePath

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
NEWEST = "it continues from the newest checkpoint"
FINISHED = "what is finished stays"


def is_full(failure: BaseException) -> bool:
    """Whether the disk, the quota or the largest file that is allowed was full."""
    return getattr(failure, "errno", None) in FULL


def cannot_write(
    what: str, folder: Path, causes: Iterable[BaseException], full: bool, then: str = NEWEST
) -> StageError:
    """The error for `what` that could not be written to `folder`; then: what the same command does."""
    text = "; ".join(dict.fromkeys(f"{type(one).__name__}: {one}" for one in causes))
    place = disk_of(folder).absolute()
    mount = next(one for one in (place, *place.parents) if os.path.ismount(one))
    free = shutil.disk_usage(mount).free
    kind = DiskFullError if full else StageError
    return kind(
        f"{what} could be written to {folder}, which has {free >> 20} MiB free on the file system of {mount}: {text}",
        f"{'free some space' if full else 'see to the folder'}, and give the same command: {then}",
    )


def disk_of(folder: Path) -> Path:
    """Where what is written to the folder lies first: there, or, of one in a store, on this machine."""
    if isinstance(folder, RemotePath):
        from .local_copies import scratch

        return scratch()
    return folder


@contextmanager
def full_disk_named(target: Path) -> Iterator[None]:
    """Within, what finds the disk full while it writes this file raises DiskFullError."""
    try:
        yield
    except OSError as failure:
        if not is_full(failure) or isinstance(failure, DiskFullError):
            raise
        raise cannot_write(f"no {target.name}", target.parent, [failure], full=True, then=FINISHED) from failure
