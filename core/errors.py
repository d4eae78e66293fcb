"""Every error that crawl2chat raises for its users.

    Crawl2ChatError          exit code 1
    ├── RecipeError          exit code 2: the recipe is wrong
    ├── InputError           exit code 2: a file is missing, unreadable or not what it claims to be
    ├── ContractError        exit code 2: two artefacts disagree
    ├── BusyError            exit code 75: another process works on the same run
    ├── StoreError           exit code 2: an object store refuses
    │   └── StoreAwayError   exit code 1: it does not answer
    └── StageError           exit code 1: a stage failed while it ran
        ├── DivergedError
        └── DiskFullError    an OSError too, as those who can do without a file expect it

Each carries what is wrong (naming key or file, and the value) and how to fix it. `assert` is for our own invariants.
"""

from __future__ import annotations

import errno
from typing import Literal, NamedTuple


class Crawl2ChatError(Exception):
    """Base of all our errors: `message` says what is wrong, `fix` what the user can do about it."""

    exit_code = 1

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(message, fix)  # both in args, so that the error survives pickling between processes
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message}\n  fix: {self.fix}" if self.fix else self.message


class RecipeError(Crawl2ChatError):
    """The recipe has an unknown key, a wrong type, or settings that do not fit together."""

    exit_code = 2


class InputError(Crawl2ChatError):
    """A file or folder that the user named is missing, unreadable or of another kind."""

    exit_code = 2


class ContractError(Crawl2ChatError):
    """Two artefacts that must agree do not (tokenizer and shards, checkpoint and model): both values are named."""

    exit_code = 2


class BusyError(Crawl2ChatError):
    """Another process holds the run's lock. The exit code is that of sysexits.h for what may be tried again later."""

    exit_code = 75


class StoreError(Crawl2ChatError):
    """An object store has no such bucket, or refuses access."""

    exit_code = 2


class StoreAwayError(StoreError):
    """An object store does not answer, or fails: the same request may succeed later."""

    exit_code = 1


class StageError(Crawl2ChatError):
    """A stage failed while it ran; nothing of it counts as finished."""


class DivergedError(StageError):
    """A loss or a gradient that is not finite."""


class DiskFullError(StageError, OSError):
    """A file system has no room for what a stage writes."""

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(message, fix)
        self.errno = errno.ENOSPC  # OSError took the message for it


class Ending(NamedTuple):
    """How work ended that raised: for those who were not there."""

    state: Literal["failed", "interrupted"]
    error: str = ""
    fix: str = ""


def ending(error: BaseException) -> Ending:
    """The end that this exception means; an interrupt needs no words."""
    if isinstance(error, KeyboardInterrupt):
        return Ending("interrupted")
    if isinstance(error, Crawl2ChatError):
        return Ending("failed", error.message, error.fix)
    return Ending("failed", f"{type(error).__name__}: {error}")
