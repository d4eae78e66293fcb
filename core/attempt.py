"""Where a stage works, and how what it made takes the place of an earlier output.

    STAGE/         an output with its manifest, or an unfinished attempt where there is no output yet
    STAGE.next/    an attempt beside an output, which stays as it is until the new one is whole
    STAGE.old/     an output that was replaced, until it is removed

So an attempt that fails, is refused or is killed costs no finished output, and STAGE is at no moment half old and half
new. After a kill `settle` does what is left of a replacement: a manifest in STAGE.next says that it had begun.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from .files import remove_partials, write_json
from .manifest import FILE_NAME

STARTED = "started.json"  # the fingerprint of what is being made


def begin(folder: Path, mark: str) -> Path:
    """The folder to work in: with what an unfinished attempt at the same fingerprint left, else empty."""
    place = _beside(folder, "next") if (folder / FILE_NAME).exists() else folder
    if unfinished(folder, mark):
        remove_partials(place)
        return place
    # first: what a kill leaves of the rest must not look like an attempt to continue
    (place / STARTED).unlink(missing_ok=True)
    _remove(place)
    place.mkdir(parents=True)
    write_json(place / STARTED, mark)
    return place


def unfinished(folder: Path, mark: str) -> bool:
    """Whether an attempt at this fingerprint is there to go on with."""
    started = (_beside(folder, "next") if (folder / FILE_NAME).exists() else folder) / STARTED
    return started.exists() and json.loads(started.read_text(encoding="utf-8")) == mark


def settle(folder: Path) -> None:
    """Put a finished attempt that stands beside the stage's folder into its place. The caller holds the run's lock."""
    new, old = _beside(folder, "next"), _beside(folder, "old")
    if (new / FILE_NAME).exists():
        if folder.exists():
            _remove(old)
            folder.rename(old)
        new.rename(folder)
    _remove(old)


def _beside(folder: Path, what: str) -> Path:
    return folder.with_name(f"{folder.name}.{what}")


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
