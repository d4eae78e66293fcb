"""An error of ours that met one worker alone, told to the driver and to the workers that only see its connection close.

error.json    in the stage's folder, while its driver has not yet seen it
"""

from __future__ import annotations

from pathlib import Path

from ..core.errors import Crawl2ChatError
from ..core.files import write_text
from ..core.log import log
from ..core.unit_map import pack_error, unpack_error

FILE_NAME = "error.json"


def tell_fault(folder: Path, error: Crawl2ChatError) -> None:
    """To be called before anything that other workers notice."""
    try:
        write_text(folder / FILE_NAME, pack_error(error))
    except OSError as failure:  # a full disk; such errors meet all workers alike
        log.warning("%s cannot be written: %s", folder / FILE_NAME, failure)


def told_fault(folder: Path) -> Crawl2ChatError | None:
    """What a worker of this start, or of one before it, has told."""
    path = folder / FILE_NAME
    return unpack_error(path.read_text(encoding="utf-8")) if path.exists() else None


def take_fault(folder: Path) -> Crawl2ChatError | None:
    """The same, and forget it."""
    fault = told_fault(folder)
    (folder / FILE_NAME).unlink(missing_ok=True)
    return fault
