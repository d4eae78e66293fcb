"""Rows of files that hold chat data: JSON lines, a JSON array, parquet; each but the last gzipped or not.

A row is a place and a mapping, or the reason why there is none. The place is the line in JSON lines, and else the row:
both counted from 1. What is wrong with one row costs that row; what makes the rest unreadable is an InputError.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..core.errors import InputError

ROWS_AT_ONCE = 1024
Found = dict[str, Any] | tuple[str, str]  # a row, or reason and detail of a reject


def read_rows(path: Path) -> Iterator[tuple[int, Found]]:
    """(place, row or reject) of a file. Raises InputError naming the file when it cannot be read, or be read on."""
    place = 0
    try:
        for place, value in _parquet(path) if path.suffix == ".parquet" else _json(path):
            yield place, value
    except (OSError, EOFError, zlib.error, pa.ArrowException) as error:  # a torn gzip file ends with EOFError
        raise InputError(
            f"{path} cannot be read behind row {place}: {error}", "give JSON lines, a JSON array, or parquet"
        ) from error


def _parquet(path: Path) -> Iterator[tuple[int, Found]]:
    place = 0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(ROWS_AT_ONCE):
            for row in batch.to_pylist():
                place += 1
                yield place, {key: value for key, value in row.items() if value is not None}


def _json(path: Path) -> Iterator[tuple[int, Found]]:
    """The beginning tells an array from lines, and gzip's two bytes tell whether it is packed, whatever the name."""
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        with gzip.GzipFile(fileobj=raw) if packed else raw as file:
            begun = False
            for place, line in enumerate(file, 1):
                text = line.removeprefix(b"\xef\xbb\xbf") if place == 1 else line
                if not text.strip():
                    continue
                if not begun and text.lstrip().startswith(b"["):
                    yield from _array(path, text + file.read())
                    return
                begun = True
                yield place, _parsed(text)


def _array(path: Path, data: bytes) -> Iterator[tuple[int, Found]]:
    try:
        rows = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} begins like a JSON array, and is none: {error}", "correct the file") from error
    for place, row in enumerate(rows, 1):
        yield place, row if isinstance(row, dict) else ("not_an_object", f"{type(row).__name__} in place of an object")


def _parsed(line: bytes) -> Found:
    try:
        value = json.loads(line.decode())
    except UnicodeDecodeError as error:
        return "not_utf8", str(error)
    except (ValueError, RecursionError) as error:
        return "not_json", str(error)
    return value if isinstance(value, dict) else ("not_an_object", f"{type(value).__name__} in place of an object")
