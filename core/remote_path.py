"""Paths into an object store: `s3://bucket/runs/tiny`, used wherever a Path of a folder is.

A RemotePath answers what pathlib's paths do by asking the store (core/object_store.py). What only takes the name of a
file, as memory maps, Parquet's reader and C code do, gets by `os.fspath` a copy on this machine's disk
(core/local_copies.py), which is only read. It is written to by `open` and by `core.files.atomic_path`
(core/written_file.py), and has no folders of its own: a folder is there while something lies below it.

pathlib knows its parts as those of `s3:/bucket/runs/tiny`, so everything that only handles names is pathlib's.
`Path(text)` would make a local path of an address: `path_of` makes the right one of either.
"""

from __future__ import annotations

import errno
import io
import os
import stat as modes
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path, PosixPath
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from .object_store import Found, ObjectStore

MAGIC = set("*?[")
PACKAGES = {"s3": "s3fs", "gs": "gcsfs"}  # by the address's protocol


def is_remote(text: str) -> bool:
    """Whether this is the address of something in an object store."""
    protocol, colons, _ = text.partition("://")
    return bool(colons) and protocol in PACKAGES


def path_of(text: str | Path) -> Path:
    """The path that a text, as `str(path)` gives it, stands for."""
    return text if isinstance(text, Path) else RemotePath(text) if is_remote(text) else Path(text)


class RemotePath(PosixPath):
    """One object, or all below a prefix. Pickles, as all paths do, and means the same in every process."""

    def __str__(self) -> str:
        protocol, *rest = self.parts
        return f"{protocol}//{'/'.join(rest)}"

    def __repr__(self) -> str:
        return f"RemotePath({str(self)!r})"

    def __fspath__(self) -> str:
        """A copy on this machine's disk, of a folder with all that lies below it."""
        from .local_copies import local_copy

        return str(local_copy(self))

    def as_posix(self) -> str:
        return str(self)

    @property
    def store(self) -> ObjectStore:
        from .object_store import store_of

        return store_of(self.parts[0].removesuffix(":"))

    @property
    def key(self) -> str:
        """As the store's program has it: bucket/runs/tiny."""
        return "/".join(self.parts[1:])

    def is_absolute(self) -> bool:
        return True

    def absolute(self) -> RemotePath:
        return self

    def resolve(self, strict: bool = False) -> RemotePath:
        return self

    def expanduser(self) -> RemotePath:
        return self

    def relative_to(self, *other: Any, **options: Any) -> Path:  # type: ignore[override]
        return Path(*super().relative_to(*other, **options).parts)

    def found(self) -> Found:
        """What the store says of it. Raises FileNotFoundError."""
        found = self.store.find(self.key)
        if found is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))
        return found

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        found = self.found()
        mode = modes.S_IFDIR | 0o755 if found.folder else modes.S_IFREG | 0o644
        whole = int(found.changed)
        times = {"st_mtime": found.changed, "st_mtime_ns": int(found.changed * 1e9)}
        return os.stat_result((mode, 0, 0, 1, 0, 0, found.size, whole, whole, whole), times)

    def exists(self, *, follow_symlinks: bool = True) -> bool:
        return self.store.find(self.key) is not None

    def is_file(self) -> bool:  # type: ignore[override]
        return self.store.find(self.key, folders=False) is not None

    def is_dir(self) -> bool:  # type: ignore[override]
        found = self.store.find(self.key)
        return found is not None and found.folder

    def is_symlink(self) -> bool:
        return False

    def iterdir(self) -> Iterator[RemotePath]:
        names = self.store.names(self.key)
        if not names:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))
        for name in sorted(names):
            yield self / name

    def glob(self, pattern: str, **options: Any) -> Iterator[RemotePath]:  # type: ignore[override]
        first, _, rest = str(pattern).partition("/")
        if not rest and not MAGIC & set(first):
            yield from (self / first,) if (self / first).exists() else ()
            return
        for name in sorted(self.store.names(self.key)):
            if fnmatchcase(name, first):
                yield from (self / name).glob(rest) if rest else (self / name,)

    def rglob(self, pattern: str, **options: Any) -> Iterator[RemotePath]:  # type: ignore[override]
        """The files, and no folders, at any depth whose name has the form."""
        for found in self.below():
            if fnmatchcase(found.rpartition("/")[2], str(pattern)):
                yield self / found

    def below(self) -> list[str]:
        """The files below it, relative to it, sorted."""
        return sorted(self.store.below(self.key))

    def open(  # type: ignore[override]
        self,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> Any:
        if "r" in mode and "+" not in mode:
            return io.open(os.fspath(self), mode, buffering, encoding, errors, newline)  # noqa: UP020
        from .written_file import open_to_write

        return open_to_write(self, mode, buffering, encoding, errors, newline)

    def read_bytes(self) -> bytes:
        """At once, and without a copy here."""
        return self.store.read(self.key)

    def read_text(self, encoding: str | None = None, errors: str | None = None, newline: str | None = None) -> str:
        return io.TextIOWrapper(io.BytesIO(self.read_bytes()), encoding or "utf-8", errors, newline).read()

    def write_bytes(self, data: Any) -> int:
        with self.open("wb") as file:
            return file.write(data)

    def write_text(  # type: ignore[override]
        self, data: str, encoding: str | None = None, errors: str | None = None, newline: str | None = None
    ) -> int:
        with self.open("w", encoding=encoding, errors=errors, newline=newline) as file:
            return file.write(data)

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        """Nothing: folders are there as soon as something lies in them."""

    def touch(self, mode: int = 0o666, exist_ok: bool = True) -> None:
        if not self.exists():
            self.write_bytes(b"")

    def unlink(self, missing_ok: bool = False) -> None:
        if not missing_ok:
            self.found()
        self.store.remove([self.key])

    def remove_below(self) -> None:
        """Remove all that lies below it."""
        self.store.remove([f"{self.key}/{name}" for name in self.below()])

    def copy_to(self, target: RemotePath) -> None:
        """Copy one object within the store: its bytes do not pass this machine."""
        self.store.copy(self.key, target.key)

    def replace(self, target: Any) -> RemotePath:  # type: ignore[override]
        """Of one object: a copy, then a removal. Folders are put in place by core/attempt.py."""
        target = cast(RemotePath, path_of(target))
        self.copy_to(target)
        self.unlink()
        return target

    def rename(self, target: Any) -> RemotePath:  # type: ignore[override]
        return self.replace(target)
