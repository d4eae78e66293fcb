"""What a stage has written, and from what: `STAGE/manifest.json`. Written last; without it a stage is unfinished.

    {schema_version, stage, version, config, fingerprint, inputs: {stage: digest}, files: [{path, rows, bytes, sha256}],
     counters: {name: number}, facts: {name: value}, notes: {name: value}, made_with, code_version, seconds}

`counters` are for people and tables; `facts` are what later stages read (vocabulary size, token type, …), so that no
parameter stands twice; `notes` say how it was made (the encoder's name, …) where that changes nothing of what was made;
`made_with` are versions and processors (made_with.py), empty in manifests of versions that did not write it.
The digest covers files and facts: equal outputs have equal digests, whatever made them.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from .errors import ContractError, InputError
from .files import at_once, digest, sha256_file, write_json

SCHEMA_VERSION = 1
FILE_NAME = "manifest.json"


class FileEntry(BaseModel):
    """One file of a stage: `path` is relative to the stage's folder; `rows` counts documents, records or samples."""

    model_config = ConfigDict(frozen=True)
    path: str
    rows: int
    bytes: int
    sha256: str


class Manifest(BaseModel):
    """The content of manifest.json."""

    schema_version: int = SCHEMA_VERSION
    stage: str
    version: int
    config: dict[str, Any]
    fingerprint: str
    inputs: dict[str, str]
    files: list[FileEntry]
    counters: dict[str, float | int]
    facts: dict[str, Any]
    notes: dict[str, Any] = {}
    made_with: dict[str, Any] = {}
    code_version: str
    seconds: float

    @property
    def digest(self) -> str:
        """Identity of what the stage put out."""
        files = sorted((entry.path, entry.sha256) for entry in self.files)
        return digest({"files": files, "facts": self.facts})

    def paths(self, folder: Path, prefix: str = "") -> list[Path]:
        """The files whose name begins with `prefix`, in the order of their names."""
        return [folder / name for name in sorted(e.path for e in self.files) if name.startswith(prefix)]


def file_entry(folder: Path, path: Path, rows: int) -> FileEntry:
    """Describe a finished file below a stage's folder."""
    return FileEntry(
        path=path.relative_to(folder).as_posix(), rows=rows, bytes=path.stat().st_size, sha256=sha256_file(path)
    )


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Declare the stage finished."""
    write_json(folder / FILE_NAME, manifest.model_dump(mode="json"))


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a finished stage, None for an unfinished one.

    Raises InputError when the file is not a manifest of ours, ContractError when a newer version wrote it.
    """
    path = folder / FILE_NAME
    if not path.exists():
        return None
    try:
        manifest = Manifest.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not a manifest: {error}", "remove the stage's folder, and run it again") from error
    if manifest.schema_version != SCHEMA_VERSION:
        raise ContractError(
            f"{path} has schema_version {manifest.schema_version}, this program reads {SCHEMA_VERSION}",
            "use the version that wrote it, or another run name",
        )
    return manifest


def missing(folder: Path, files: Iterable[FileEntry]) -> list[str]:
    """Those of the files that are gone or have another size (a quick check; digests are not read)."""
    entries = list(files)
    there = at_once(lambda entry: _is_there(folder / entry.path, entry.bytes), entries)
    return [entry.path for entry, found in zip(entries, there, strict=True) if not found]


def _is_there(path: Path, size: int) -> bool:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size == size
