"""Remote files by byte ranges through fsspec: at a common pace, retried patiently, continued from the byte reached.

A temporary failure (403, 429, 5xx, slow-down, a time-out, a lost connection, a body that ends early) is tried again
after a wait that doubles each time, with jitter, or that the server asks for by Retry-After; the attempts begin anew
whenever bytes arrived. After the last attempt: StageError, so that the unit is not done and the same command goes on
with it. FileNotFoundError says that there is no such file: waiting would not help.
"""

from __future__ import annotations

import io
import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, BinaryIO, cast

from fsspec.core import url_to_fs

from ... import __version__
from ...core.credentials import is_masked
from ...core.errors import InputError, StageError
from ...core.settings_sources import Access
from .pace import Paced, Unpaced

PIECE = 1 << 20
BUFFER = 1 << 16
TEMPORARY = {403, 408, 425, 429}  # and all from 500 on; object stores also answer 403 when they are asked too fast
PLACES = (
    "https", "http", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "hdfs", "webhdfs", "sftp", "ssh", "ftp", "hf",
    "file", "local", "memory",
)  # fmt: skip
CLIENTS = {"aiohttp", "botocore"}  # whose errors are no OSErrors


def is_remote(address: str) -> bool:
    return "://" in address and not address.startswith("file://")


def check_address(address: str) -> None:
    """Raise InputError for an address that is no plain place, and for one whose credentials were taken out when it was
    written into a run's folder.

    fsspec knows more than places: `reference::`, `filecache::` and the like read descriptions and archives that stand
    at other addresses, with programs of their own. A recipe's address is read as it stands.
    """
    protocol, colons, _ = address.partition("://")
    if "::" in address or (colons and protocol.lower() not in PLACES):
        raise InputError(
            f"{address!r} is no place that is read from",
            f"correct the address, as one of: {', '.join(PLACES)}; or a path",
        )
    if is_masked(address):
        raise InputError(
            f"{address}: a run's own recipe.yaml holds no credentials",
            "give the recipe that holds them instead of --run, or the address with --set",
        )


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of a file, and the size of the whole."""

    data: bytes
    total: int


class Remote:
    """Fetches from one place, as its Access says."""

    def __init__(self, access: Access, pace: Paced | None = None) -> None:
        self._access, self._pace = access, pace or Unpaced()
        self._size: tuple[str, int] = ("", 0)  # of the file read last: object stores tell it by a request of its own

    def open(self, address: str) -> BinaryIO:
        """The file as a seekable stream that holds one block."""
        return cast(BinaryIO, io.BufferedReader(_RangeFile(self, address, self._access.block_bytes), BUFFER))

    def fetch(self, address: str, start: int, stop: int) -> Piece:
        """The bytes from start to stop, or to the file's end if that comes first."""
        data = bytearray()
        attempts = 0
        while True:
            time.sleep(self._pace.reserve())
            before, answer = len(data), 0.0
            try:
                total = self._receive(address, start + len(data), stop, data)
                if start + len(data) >= min(stop, total):
                    return Piece(bytes(data), total)
                said = f"the answer ended after {len(data)} of {min(stop, total) - start} bytes"
            except Exception as error:
                asked = _patience(error)
                if asked is None:
                    raise
                said, answer = f"{type(error).__name__}: {error}", asked
            attempts = 1 if len(data) > before else attempts + 1
            if attempts > self._access.retries:
                raise StageError(
                    f"{address}, bytes {start + len(data)} to {stop}: {said} ({attempts} attempts)",
                    "the same command continues with this file; if the server refuses, lower "
                    "access.requests_per_second, or raise access.retries",
                )
            self._wait(attempts, answer)

    def _wait(self, attempt: int, asked: float) -> None:
        """Wait before an attempt; what the server asked for holds for all workers."""
        limit = self._access.max_wait
        wait = min(limit, self._access.retry_wait * 2 ** (attempt - 1)) * random.uniform(0.5, 1.0)
        if asked:
            self._pace.hold(min(asked, limit))
        time.sleep(max(wait, min(asked, limit)))

    def _receive(self, address: str, start: int, stop: int, data: bytearray) -> int:
        """Append what arrives of a range to `data`; returns the size of the whole file."""
        if not address.startswith(("http://", "https://")):
            fs, path = url_to_fs(address)
            if self._size[0] != address:
                self._size = (address, int(fs.size(path) or 0))
            total = self._size[1]
            if start < total:
                data += fs.cat_file(path, start=start, end=min(stop, total))  # of s3fs the second argument is a version
            return total
        fs, path = url_to_fs(address, client_kwargs=self._client())
        headers = {"Range": f"bytes={start}-{stop - 1}", "Accept-Encoding": "identity"}
        with fs.open(path, block_size=0, size=1, headers=headers) as stream:  # size: asks for none by another request
            response: Any = stream.r
            if response.status != 206 and start:
                raise InputError(f"{address}: the server does not serve byte ranges", "use another mirror, or a folder")
            while start + len(data) < stop and (piece := stream.read(min(PIECE, stop - start))):
                data += piece
            whole = response.headers.get("Content-Range", "").rpartition("/")[2]
            return int(whole) if whole.isdigit() else start + max(len(data), response.content_length or 0)

    def _client(self) -> dict[str, Any]:
        import aiohttp  # here: only those who fetch pay for it

        seconds = self._access.timeout
        return {
            "timeout": aiohttp.ClientTimeout(total=None, sock_connect=seconds, sock_read=seconds),
            "headers": {"User-Agent": f"crawl2chat/{__version__}"},
        }


class _RangeFile(io.RawIOBase):
    """A file that is fetched block by block, as it is read."""

    def __init__(self, remote: Remote, address: str, block: int) -> None:
        self._remote, self._address, self._block_bytes = remote, address, block
        self._at = self._begins = 0
        self._block = b""
        self._total: int | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END and self._total is None:
            self._load(0)
        self._at = offset + (0, self._at, self._total or 0)[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        inside = self._at - self._begins
        if not 0 <= inside < len(self._block):
            if self._total is not None and self._at >= self._total:
                return 0
            self._load(self._at)
            inside = 0
        piece = self._block[inside : inside + len(buffer)]
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def _load(self, start: int) -> None:
        found = self._remote.fetch(self._address, start, start + self._block_bytes)
        self._begins, self._block, self._total = start, found.data, found.total


def _patience(error: Exception) -> float | None:
    """None for a failure that waiting does not help; else the seconds that the server asks for, 0 if it names none."""
    status = getattr(error, "status", None)
    if isinstance(status, int) and status >= 400:
        headers = getattr(error, "headers", None) or {}
        return _seconds(headers.get("Retry-After", "")) if status in TEMPORARY or status >= 500 else None
    if isinstance(error, FileNotFoundError | IsADirectoryError | ValueError | ImportError):
        return None
    client = {base.__module__.partition(".")[0] for base in type(error).__mro__} & CLIENTS
    return 0.0 if client or isinstance(error, OSError | EOFError) else None


def _seconds(retry_after: str) -> float:
    """A Retry-After header: seconds, or a date."""
    if retry_after.strip().isdigit():
        return float(retry_after)
    try:
        return max(0.0, (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return 0.0
