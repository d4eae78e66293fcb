"""Local files that a recipe's key names, for stages that read them where they stand: chat data, preference pairs."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path

from .errors import InputError

CHAT_DATA, PREFERENCES = "finetune.data.paths", "align.data.paths"  # the keys


def user_files(paths: Iterable[str], key: str) -> list[Path]:
    """The files, in the order of the recipe, those of a pattern by name, each once.

    Raises InputError naming the key when a file is not there, or nothing has a pattern's form.
    """
    found: dict[Path, None] = {}
    for path in paths:
        hits = sorted(glob.glob(path, recursive=True)) if glob.has_magic(path) else [path]  # noqa: PTH207 (any path)
        files = [Path(hit) for hit in hits if Path(hit).is_file()]
        if not files:
            raise InputError(f"{key}: no file at {path!r}", "correct the path, or put the file there")
        found |= dict.fromkeys(files)
    return list(found)


def file_stamps(files: Iterable[Path]) -> dict[str, str]:
    """Path to `size:time`: a stage whose file changed runs again."""
    return {str(file): f"{file.stat().st_size}:{file.stat().st_mtime}" for file in files}
