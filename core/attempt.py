"""Where a stage works, and how what it made takes the place of an earlier output.

    STAGE/         an output with its manifest, or an unfinished attempt where there is no output yet
    STAGE.next/    an attempt beside an output, which stays as it is until the new one is whole
    STAGE.old/     an output that was replaced, until it is removed

So an attempt that fails, is refused or is killed costs no finished output, and STAGE is at no moment half old and half
new. After a kill `settle` does what is left of a replacement: a manifest in STAGE.next says that it had begun.

In an object store, which renames nothing, there is no STAGE.old: the old output goes, its manifest first, and the new
one is copied, its manifest last. In between the stage is unfinished for who looks, and `settle` begins anew.
"""

from __future__ import annotations

import json
from pathlib import Path

from .files import at_once, remove_folder, remove_partials, write_json
from .manifest import FILE_NAME
from .remote_path import RemotePath

STARTED = "started.json"  # the fingerprint of what is being made


def begin(folder: Path, mark: str) -> Path:
    """The folder to work in: with what an unfinished attempt at the same fingerprint left, else empty."""
    place = _beside(folder, "next") if (folder / FILE_NAME).exists() else folder
    goes_on = unfinished(folder, mark)
    if goes_on:
        remove_partials(place)
        return place
    # first: what a kill leaves of the rest must not look like an attempt to continue
    (place / STARTED).unlink(missing_ok=True)
    remove_folder(place)
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
    if isinstance(new, RemotePath) and isinstance(folder, RemotePath):
        _settle_copies(new, folder)
        return
    if (new / FILE_NAME).exists():
        if folder.exists():
            remove_folder(old)
            folder.rename(old)
        new.rename(folder)
    remove_folder(old)


def _settle_copies(new: RemotePath, folder: RemotePath) -> None:
    if (new / FILE_NAME).exists():
        (folder / FILE_NAME).unlink(missing_ok=True)
        folder.remove_below()
        names = [name for name in new.below() if name not in (FILE_NAME, STARTED)]
        at_once(lambda name: (new / name).copy_to(folder / name), names)
        write_json(folder / STARTED, json.loads((new / FILE_NAME).read_text(encoding="utf-8"))["fingerprint"])
        (new / FILE_NAME).copy_to(folder / FILE_NAME)
        (new / STARTED).unlink(missing_ok=True)  # first: what a kill leaves of the rest is no attempt
        (new / FILE_NAME).unlink()
    if not (new / STARTED).exists():
        new.remove_below()


def _beside(folder: Path, what: str) -> Path:
    return folder.with_name(f"{folder.name}.{what}")
