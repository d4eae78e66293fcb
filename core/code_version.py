"""Which code made something: the package's version, and the commit where the package lies in a git checkout."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from .. import __version__

PACKAGE = Path(__file__).resolve().parent.parent
_SECONDS = 10


def code_version(folder: Path = PACKAGE) -> str:
    """VERSION; in a checkout VERSION+COMMIT, and .changed behind it when tracked files differ from the commit.

    A package that is installed below some other project's checkout has no commit of its own.
    """
    top, _, commit = _git(folder, "rev-parse", "--show-toplevel", "HEAD").partition("\n")
    if not commit or Path(top) != folder:
        return __version__
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return f"{__version__}+{commit[:12]}{'.changed' if changed else ''}"


def _git(folder: Path, *words: str) -> str:
    """What git says, empty where there is no git, no repository, or no answer in time. It writes nothing."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "--no-optional-locks", "-C", str(folder), *words]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
