"""Whether a search was begun here, by this user.

Ray Tune writes a search down as pickles, and reads them when a killed search goes on: who could put others in their
place, or hand over a run's folder, could run any code. So a search is continued only where a code stands in its folder
that this user's key gives for this very folder, at its path and with its inode. The key lies outside of all runs, in
~/.local/state/crawl2chat (or below XDG_STATE_HOME), readable by its owner alone.

Who can write into a folder of yours needs no such detour: that is not what this guards against.
"""

from __future__ import annotations

import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path

NAME = "begun_here"


def begin_here(folder: Path) -> None:
    """Make a search's folder, if it is not there, and the code in it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / NAME).write_text(_code(folder), encoding="ascii")


def begun_here(folder: Path) -> bool:
    """Whether this user began the search in this very folder."""
    try:
        told = (folder / NAME).read_bytes()
    except OSError:
        return False
    return hmac.compare_digest(told, _code(folder).encode())


def _code(folder: Path) -> str:
    place = folder.resolve()
    return hmac.digest(_key(), f"{place.stat().st_ino} {place}".encode("utf-8", "surrogateescape"), "sha256").hex()


def _key() -> bytes:
    root = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "crawl2chat"
    path = root / "key"
    if not path.exists():
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = root / f".key.{secrets.token_hex(8)}"
        fresh.touch(mode=0o600)
        fresh.write_bytes(secrets.token_bytes(32))
        with suppress(FileExistsError):
            path.hardlink_to(fresh)  # the first of two processes wins
        fresh.unlink()
    return path.read_bytes()
