"""A stage that is still at work while the next one, which needs its output only after a while, begins.

The later stage knows the earlier one by its fingerprint, which follows from settings and inputs before there is any
output. Whoever needs the output, in whatever process, waits for the manifest with that fingerprint (`awaited`). The
earlier stage works in a thread of the driver (`Beside`); where it ends without an output, those who wait are told:

    RUN/STAGE.ended    {state, error, fix}: errors.Ending; of no meaning where the manifest is there
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from .credentials import masked
from .errors import StageError, StoreError, ending
from .files import write_json
from .interrupting import interrupt
from .log import log
from .manifest import FILE_NAME, Manifest, read_manifest
from .progress import Progress

LOOK_S = 0.5  # between two looks at a file system that may lie across a network


def awaited(folder: Path, mark: str, waits: Callable[[], None] = lambda: None) -> Manifest:
    """The manifest with the fingerprint `mark` in a stage's folder, as soon as it is there; `waits` is called when it
    is not there yet. Raises StageError when the stage has ended without it.
    """
    told, seen = False, None
    while True:
        state = _state(folder / FILE_NAME)
        if state is not None and state != seen:
            seen, manifest = state, _read(folder)
            if manifest is not None and manifest.fingerprint == mark:
                return manifest
        if (fault := ended(folder)) is not None:
            raise fault
        if not told:
            told = True
            waits()
        time.sleep(LOOK_S)


def ended(folder: Path) -> StageError | None:
    """Why the stage of this folder ended without an output; None where it did not."""
    try:
        told = json.loads(_place(folder).read_text(encoding="utf-8"))
    except OSError:
        return None
    why = f": {told['error']}" if told["error"] else ""
    return StageError(f"the stage {folder.name} {told['state']}{why}", told["fix"] or "the same command continues")


class Beside(threading.Thread):
    """The work of a stage, in a thread. When it is over, either `made` is there or `error`."""

    def __init__(self, folder: Path, progress: Progress, work: Callable[[], Manifest]) -> None:
        super().__init__(daemon=True, name=folder.name)  # a second Ctrl-C must end the process
        self._folder, self._progress, self._work = folder, progress, work
        self.made: Manifest | None = None
        self.error: BaseException | None = None

    def __enter__(self) -> Beside:
        self._forget()  # what an earlier command left
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Wait for the end of the work."""
        self.join()
        self._forget()

    def run(self) -> None:
        try:
            self.made = self._work()
        except BaseException as error:  # it is raised in the driver's main thread
            self.error, end = error, ending(error)
            try:
                write_json(_place(self._folder), end._asdict() | {"error": masked(end.error), "fix": masked(end.fix)})
            except (OSError, StoreError) as failure:  # nobody can be told, and the later stage would wait without end
                log.warning("%s cannot be written: %s", _place(self._folder), failure)
                interrupt()

    def stop(self) -> None:
        """Have the work end at its next piece."""
        self._progress.stop()

    def _forget(self) -> None:
        with suppress(OSError):
            _place(self._folder).unlink()


def _place(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.ended")


def _state(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _read(folder: Path) -> Manifest | None:
    try:
        return read_manifest(folder)
    except OSError:  # another is just taking its place
        return None
