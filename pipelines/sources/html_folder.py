"""HTML files, many to a unit. A page's URL is the source's base_url and its path below the folder.

origin_offset is 0. Reasons of losses: too_large, unreadable_file, truncated_gzip, bad_gzip.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO
from urllib.parse import quote

from .records import Item, Loss, RawRecord


class TooLarge(Exception):
    """A file that inflates to more than the limit."""


def read_html(spec: Mapping[str, Any], open_file: Callable[[str], BinaryIO], max_bytes: int) -> Iterator[Item]:
    """One item a file. spec: files (to open), keys (their names in doc_ids), urls."""
    for file, key, url in zip(spec["files"], spec["keys"], spec["urls"], strict=True):
        try:
            with open_file(file) as handle:
                yield RawRecord(0, "0", url, html=whole_file(handle, key, max_bytes), file=file, key=key)
        except TooLarge as error:
            yield Loss(0, "0", "too_large", url, float(error.args[0]), "file", file, key)
        except (EOFError, zlib.error) as error:
            reason = "truncated_gzip" if isinstance(error, EOFError) else "bad_gzip"
            yield Loss(0, "0", reason, url, None, str(error), file, key)
        except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
            yield Loss(0, "0", "unreadable_file", url, None, str(error), file, key)


def whole_file(handle: BinaryIO, name: str, max_bytes: int) -> bytes:
    """The bytes of a file, inflated where it is gzip or named so. Raises TooLarge, EOFError, zlib.error."""
    data = handle.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise TooLarge(len(data))
    return _inflated(data, max_bytes) if data[:3] == b"\x1f\x8b\x08" or name.endswith(".gz") else data


def _inflated(data: bytes, max_bytes: int) -> bytes:
    """All members of a gzip file."""
    parts: list[bytes] = []
    size = 0
    while data:
        inflater = zlib.decompressobj(wbits=31)
        parts.append(inflater.decompress(data, max_bytes + 1 - size))
        size += len(parts[-1])
        if size > max_bytes:
            raise TooLarge(size)
        if not inflater.eof:
            raise EOFError("the file ends inside a gzip member")
        data = inflater.unused_data.lstrip(b"\0")
    return b"".join(parts)


def page_url(base: str, below: str) -> str:
    """The URL of a file at this path below its folder."""
    return f"{base.rstrip('/')}/{quote(below)}" if base else ""
