"""The folder that a run writes to: what is wrong with it, in words, and how what was written there is made to last."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from ..core.errors import StageError
from ..core.remote_path import RemotePath

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def is_full(failure: BaseException) -> bool:
    """Whether the disk, the quota or the largest file that is allowed was full."""
    return getattr(failure, "errno", None) in FULL


def cannot_write(what: str, folder: Path, causes: Iterable[BaseException], full: bool) -> StageError:
    """The error for `what` that could not be written to `folder`."""
    text = "; ".join(dict.fromkeys(f"{type(one).__name__}: {one}" for one in causes))
    free = shutil.disk_usage(disk_of(folder)).free
    return StageError(
        f"{what} could be written to {folder}, which has {free >> 20} MiB free: {text}",
        ("free some space" if full else "see to the folder")
        + ", and give the same command: it continues from the newest checkpoint",
    )


def disk_of(folder: Path) -> Path:
    """Where what is written to the folder lies first: there, or, of one in a store, on this machine."""
    if isinstance(folder, RemotePath):
        from ..core.local_copies import scratch

        return scratch()
    return folder


def sync_folder(folder: Path) -> None:
    """Make a rename last through a crash of the machine."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
