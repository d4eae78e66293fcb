"""Cuts a sample out of a table: some runs of its rows, in a table of the same columns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from ..core.errors import InputError
from .cut import Cut

ROWS = 64  # that are one record here


def cut_parquet(handle: BinaryIO, paths: list[Path], cut: Cut) -> None:
    file = pq.ParquetFile(handle)
    size = handle.seek(0, 2)
    groups = max(1, round(file.num_row_groups * min(1.0, cut.read / max(size, 1))))
    used = {file.metadata.row_group(0).column(0).compression} if file.num_row_groups else {"SNAPPY"}
    coding: Any = next(iter(used)).lower().replace("uncompressed", "none")
    batches = file.iter_batches(batch_size=ROWS, row_groups=list(range(min(groups, file.num_row_groups))))
    with ExitStack() as stack:
        out: dict[int, pq.ParquetWriter] = {}
        for number, batch in enumerate(batches):
            if (piece := cut.piece(number)) is not None:
                if piece not in out:
                    writer = pq.ParquetWriter(str(paths[piece]), file.schema_arrow, compression=coding)
                    out[piece] = stack.enter_context(writer)
                out[piece].write_batch(batch)


def cut_arrow(name: str, handle: BinaryIO, paths: list[Path], cut: Cut) -> None:
    try:
        schema, batches = _batches(handle)
        with ExitStack() as stack:
            out = [stack.enter_context(pa.ipc.new_file(str(path), schema)) for path in paths]
            number = 0
            for batch in batches:
                for start in range(0, batch.num_rows, ROWS):
                    if (piece := cut.piece(number)) is not None:
                        out[piece].write_batch(batch.slice(start, ROWS))
                    number += 1
                if handle.tell() > cut.read:
                    break
    except pa.ArrowException as error:
        raise InputError(f"{name}: not Arrow IPC: {error}", "take it out of the source's paths") from error


def _batches(handle: Any) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    try:
        file = pa.ipc.open_file(handle)
        return file.schema, (file.get_batch(number) for number in range(file.num_record_batches))
    except pa.ArrowInvalid:
        handle.seek(0)
        stream = pa.ipc.open_stream(handle)
        return stream.schema, iter(stream)
