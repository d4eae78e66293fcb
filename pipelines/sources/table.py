"""Tables that already hold text: jsonl (.jsonl, .jsonl.gz) and parquet, with the recipe's map of columns.

Offsets are line numbers (from 1) for jsonl and row numbers (from 0) for parquet.
Reasons of losses: bad_json, bad_utf8, missing_text, text_not_string, too_large, truncated_gzip, bad_gzip, bad_parquet.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from ...core.errors import InputError
from ...core.settings_data import TableSource
from .records import Item, Loss, RawRecord

BATCH_ROWS = 256


def read_jsonl(handle: BinaryIO, source: TableSource, max_bytes: int) -> Iterator[Item]:
    """One item a line; blank lines are none. A line above max_bytes is skipped, not held."""
    compressed = handle.read(2) == b"\x1f\x8b"
    handle.seek(0)
    lines = gzip.GzipFile(fileobj=handle) if compressed else handle
    number = 0
    while True:
        number += 1
        try:
            line = lines.readline(max_bytes + 1)
            length = len(line)
            while len(line) > max_bytes and not line.endswith(b"\n"):
                line = lines.readline(max_bytes + 1)
                length += len(line)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            reason = "truncated_gzip" if isinstance(error, EOFError) else "bad_gzip"
            yield Loss(number, str(number), reason, detail=str(error))
            return
        if not line:
            return
        if length > max_bytes:
            yield Loss(number, str(number), "too_large", value=float(length), detail="line")
        elif line.strip():
            yield _parse(line, number, source)


def _parse(line: bytes, number: int, source: TableSource) -> Item:
    try:
        row = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
    except UnicodeDecodeError as error:
        return Loss(number, str(number), "bad_utf8", detail=str(error))
    except (json.JSONDecodeError, RecursionError) as error:
        return Loss(number, str(number), "bad_json", detail=str(error))
    if not isinstance(row, dict):
        return Loss(number, str(number), "bad_json", detail=f"{type(row).__name__}, not an object")
    return _row(row, number, source)


def _row(row: dict[str, Any], number: int, source: TableSource) -> Item:
    url = _word(row.get(source.url)) if source.url else ""
    text = row.get(source.text)
    if text is None:
        return Loss(number, str(number), "missing_text", url, detail=f"no {source.text!r}")
    if not isinstance(text, str):
        return Loss(number, str(number), "text_not_string", url, detail=type(text).__name__)
    title = _word(row.get(source.title)) if source.title else ""
    when = _word(row.get(source.date)) if source.date else ""
    return RawRecord(number, str(number), url, title, when, text=text)


def _word(value: Any) -> str:
    """A cell as a string: dates in ISO 8601, nothing as ""."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    return "" if value is None else str(value)


def read_parquet(handle: BinaryIO, name: str, source: TableSource) -> Iterator[Item]:
    """One item a row. A row group that cannot be read is one loss, its value the number of rows that went with it."""
    try:
        file = pq.ParquetFile(handle)
    except (pa.ArrowException, OSError) as error:
        yield Loss(0, "0", "bad_parquet", detail=f"no readable footer: {error}")
        return
    columns = _columns(file.schema_arrow, name, source)
    row = 0
    for group in range(file.num_row_groups):
        rows = file.metadata.row_group(group).num_rows
        done = 0
        try:
            for batch in file.iter_batches(BATCH_ROWS, row_groups=[group], columns=columns):
                cells = batch.to_pylist()
                for index, values in enumerate(cells):
                    yield _row(values, row + done + index, source)
                done += len(cells)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            at = row + done
            yield Loss(at, str(at), "bad_parquet", value=float(rows - done), detail=f"row group {group}: {error}")
        row += rows


def check_parquet(handle: BinaryIO, name: str, source: TableSource) -> None:
    """Raise InputError when the file has not the columns that the source names; an unreadable file is the ledger's."""
    try:
        schema = pq.read_schema(handle)
    except (pa.ArrowException, OSError):
        return
    _columns(schema, name, source)


def _columns(schema: pa.Schema, name: str, source: TableSource) -> list[str]:
    named = {"text": source.text, "url": source.url, "title": source.title, "date": source.date}
    for key, column in named.items():
        if column is not None and column not in schema.names:
            raise InputError(
                f"sources.{source.name}.{key} is {column!r}, which is no column of {name}",
                f"name one of: {', '.join(schema.names)}",
            )
    return [column for column in named.values() if column is not None]
