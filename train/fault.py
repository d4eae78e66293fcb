"""Errors of ours that workers met: told to the driver, and to the workers that are started after them.

error-RANK.json    in the stage's folder, until the driver has seen it
"""

from __future__ import annotations

import time
from pathlib import Path

from ..core.errors import Crawl2ChatError, StoreError
from ..core.files import write_text
from ..core.log import log
from ..core.unit_map import pack_error, unpack_error

PATTERN = "error-*.json"
PATIENCE = 5.0  # seconds in which ranks that met the same error say so


def tell_fault(folder: Path, error: Crawl2ChatError, rank: int) -> bool:
    """Whether it could be written; where the disk is full it cannot."""
    path = folder / PATTERN.replace("*", str(rank))
    try:
        write_text(path, pack_error(error))
    except (OSError, StoreError) as failure:
        log.warning("%s cannot be written: %s", path, failure)
        return False
    return True


def told_by_all(folder: Path, ranks: int, seconds: float = PATIENCE) -> bool:
    """Whether all ranks tell of an error before so many seconds have passed."""
    end = time.monotonic() + seconds
    while (number := len(list(folder.glob(PATTERN)))) < ranks and time.monotonic() < end:
        time.sleep(0.05)
    return number >= ranks


def told_fault(folder: Path) -> Crawl2ChatError | None:
    """What a worker of this start, or of one before it, has told: the first rank's."""
    found = sorted(folder.glob(PATTERN))
    return unpack_error(found[0].read_text(encoding="utf-8")) if found else None


def take_fault(folder: Path) -> Crawl2ChatError | None:
    """The same, and forget it."""
    fault = told_fault(folder)
    for path in folder.glob(PATTERN):
        path.unlink()
    return fault
