"""Tables that already hold text, with the recipe's map of columns: jsonl (plain, .gz, .zst, .bz2), parquet, Arrow IPC.

Offsets are line numbers (from 1) for jsonl and row numbers (from 0) for the others. With an `id` column the record's
name in doc_ids is its id, which survives a new order of the rows.
Reasons of losses: bad_json, bad_utf8, missing_text, text_not_string, too_large, missing_id, duplicate_id, bad_parquet,
bad_arrow, and truncated_ and bad_ with gzip, zst, bz2.
"""

from __future__ import annotations

import bz2
import gzip
import io
import itertools
import json
import zlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from ...core.errors import InputError
from ...core.settings_sources import TableSource
from .records import Item, Loss, RawRecord

BATCH_ROWS = 256
MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zst", b"BZh": "bz2"}
UNREADABLE = (pa.ArrowException, OSError, UnicodeDecodeError, pa.ArrowMemoryError)


class RowReader:
    """Rows to items. Holds a hash of each id of the file where the source names an id column: some 100 bytes each."""

    def __init__(self, source: TableSource, max_bytes: int) -> None:
        self._source, self._max_bytes = source, max_bytes
        self._seen: set[int] = set()

    def item(self, row: dict[str, Any], number: int) -> Item:
        """The record of a row, or its loss."""
        found = self._content(row, number)
        if self._source.id is None:
            return found
        name = _word(row.get(self._source.id))
        mark = xxhash.xxh3_64_intdigest(name.encode("utf-8", "replace"))
        if not name or mark in self._seen:
            reason = "duplicate_id" if name else "missing_id"
            return Loss(number, f"{number}!", reason, found.url, None, name)
        self._seen.add(mark)
        return replace(found, place=f"id:{name}")

    def _content(self, row: dict[str, Any], number: int) -> RawRecord | Loss:
        source = self._source
        url = _word(row.get(source.url)) if source.url else ""
        text = row.get(source.text)
        if text is None:
            return Loss(number, str(number), "missing_text", url, detail=f"no {source.text!r}")
        if not isinstance(text, str):
            return Loss(number, str(number), "text_not_string", url, detail=type(text).__name__)
        if len(text) > self._max_bytes:
            return Loss(number, str(number), "too_large", url, float(len(text)), "text")
        title = _word(row.get(source.title)) if source.title else ""
        when = _word(row.get(source.date)) if source.date else ""
        return RawRecord(number, str(number), url, title, when, text=text)


def _word(value: Any) -> str:
    """A cell as a string: dates in ISO 8601, nothing as ""."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    return "" if value is None else str(value)


def read_jsonl(handle: BinaryIO, source: TableSource, max_bytes: int) -> Iterator[Item]:
    """One item a line; blank lines are none. A line above max_bytes is skipped, not held."""
    reader, number = RowReader(source, max_bytes), 0
    head = handle.read(4)
    coding = next((name for magic, name in MAGIC.items() if head.startswith(magic)), "")
    handle.seek(0)
    lines = inflated(handle, coding)
    while True:
        number += 1
        try:
            line = lines.readline(max_bytes + 1)
            length = len(line)
            while len(line) > max_bytes and not line.endswith(b"\n"):
                line = lines.readline(max_bytes + 1)
                length += len(line)
        except (EOFError, OSError, zlib.error) as error:
            if not coding:
                raise
            cut = isinstance(error, EOFError) or "truncated" in str(error).lower()
            yield Loss(number, str(number), f"{'truncated' if cut else 'bad'}_{coding}", detail=str(error))
            return
        if not line:
            return
        if length > max_bytes:
            yield Loss(number, str(number), "too_large", value=float(length), detail="line")
        elif line.strip():
            yield _parse(line, number, reader)


def inflated(handle: BinaryIO, coding: str) -> BinaryIO:
    if coding == "gzip":
        return cast(BinaryIO, gzip.GzipFile(fileobj=handle))
    if coding == "bz2":
        return cast(BinaryIO, bz2.BZ2File(handle))
    if coding == "zst":
        stream: Any = pa.CompressedInputStream(cast(io.IOBase, handle), "zstd")
        return cast(BinaryIO, io.BufferedReader(stream))
    return handle


def _parse(line: bytes, number: int, reader: RowReader) -> Item:
    try:
        row = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
    except UnicodeDecodeError as error:
        return Loss(number, str(number), "bad_utf8", detail=str(error))
    except (ValueError, RecursionError) as error:  # ValueError: also a number of too many digits
        return Loss(number, str(number), "bad_json", detail=str(error))
    if not isinstance(row, dict):
        return Loss(number, str(number), "bad_json", detail=f"{type(row).__name__}, not an object")
    return reader.item(row, number)


def read_parquet(
    handle: BinaryIO, name: str, source: TableSource, max_bytes: int, groups: tuple[int, int] | None = None
) -> Iterator[Item]:
    """One item a row, of some row groups or all. A group that cannot be read is one loss; its value: the rows lost."""
    try:
        file = pq.ParquetFile(handle)
    except UNREADABLE as error:
        yield Loss(0, "0", "bad_parquet", detail=f"no readable footer: {error}")
        return
    columns, reader = _columns(file.schema_arrow, name, source), RowReader(source, max_bytes)
    first, last = groups or (0, file.num_row_groups)
    sizes = [file.metadata.row_group(group).num_rows for group in range(last)]
    for group in range(first, last):
        row, rows, done = sum(sizes[:group]), sizes[group], 0
        try:
            for batch in file.iter_batches(BATCH_ROWS, row_groups=[group], columns=columns):
                cells = batch.to_pylist()
                for index, values in enumerate(cells):
                    yield reader.item(values, row + done + index)
                done += len(cells)
        except UNREADABLE as error:
            at = row + done
            yield Loss(at, f"{at}!", "bad_parquet", value=float(rows - done), detail=f"row group {group}: {error}")


def row_groups(handle: BinaryIO, parts: int) -> list[tuple[int, int]]:
    """The row groups of a parquet file in at most `parts` runs; none for a file without a readable footer."""
    try:
        number = pq.ParquetFile(handle).num_row_groups
    except UNREADABLE:
        return []
    borders = sorted({number * part // parts for part in range(parts + 1)})
    return list(itertools.pairwise(borders))


def read_arrow(handle: BinaryIO, name: str, source: TableSource, max_bytes: int) -> Iterator[Item]:
    """One item a row of an IPC file or stream. A batch that cannot be read is one loss; in a stream it is the last."""
    reader, row = RowReader(source, max_bytes), 0
    try:
        batches = _ipc_batches(handle)
        columns = _columns(next(batches), name, source)
    except UNREADABLE as error:
        yield Loss(0, "0", "bad_arrow", detail=f"no readable schema: {error}")
        return
    for number, batch in enumerate(batches):
        try:
            if isinstance(batch, Exception):
                raise batch
            chosen = batch.select(columns)
            chosen.validate(full=True)  # Arrow trusts offsets as they stand: a wrong one would read foreign memory
            cells = chosen.to_pylist()
        except UNREADABLE as error:
            rows = batch.num_rows if isinstance(batch, pa.RecordBatch) else 0
            lost = float(rows) or None
            yield Loss(row, f"{row}!{number}", "bad_arrow", value=lost, detail=f"batch {number}: {error}")
            row += rows
            continue
        for values in cells:
            yield reader.item(values, row)
            row += 1


def _ipc_batches(handle: BinaryIO) -> Iterator[Any]:
    """The schema, then each record batch or the error in its place."""
    if handle.read(6) == b"ARROW1":
        file = pa.ipc.open_file(cast(io.IOBase, handle))
        yield file.schema
        for number in range(file.num_record_batches):
            try:
                yield file.get_batch(number)
            except UNREADABLE as error:
                yield error
        return
    handle.seek(0)
    stream = pa.ipc.open_stream(cast(io.IOBase, handle))
    yield stream.schema
    while True:
        try:
            yield stream.read_next_batch()
        except StopIteration:
            return
        except UNREADABLE as error:
            yield error
            return


def check_columns(handle: BinaryIO, name: str, source: TableSource) -> None:
    """Raise InputError when the file has not the columns that the source names; an unreadable file is the ledger's."""
    try:
        if source.kind == "parquet":
            _columns(pq.read_schema(handle), name, source)
        elif source.kind == "arrow":
            _columns(next(_ipc_batches(handle)), name, source)
    except UNREADABLE:
        return


def _columns(schema: pa.Schema, name: str, source: TableSource) -> list[str]:
    named = {key: getattr(source, key) for key in ("text", "id", "url", "title", "date")}
    for key, column in named.items():
        if column is not None and column not in schema.names:
            raise InputError(
                f"sources.{source.name}.{key} is {column!r}, which is no column of {name}",
                f"name one of: {', '.join(schema.names)}",
            )
    return sorted({column for column in named.values() if column is not None})
