"""Reading the documents that are left after a stage: documents minus the ledgers, unit by unit, joined by doc_id."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .manifest import Manifest
from .schema import DOCUMENT
from .units import Unit

BATCH_ROWS = 1024


def extracted_units(extract: Manifest) -> list[Unit]:
    """The units that the extract stage wrote, by its manifest, sorted by name."""
    return [Unit(name=path.stem) for path in extract.paths(Path(), "documents/")]


def kept_batches(
    unit: str, extract_folder: Path, ledgers: Sequence[Path] = (), columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Record batches of the unit's documents that stand in no ledger, in file order.

    extract_folder holds documents/UNIT.parquet; each folder in `ledgers` is a later stage's, with dropped/UNIT.parquet.
    Memory: one batch, and the doc_ids that this unit lost.
    """
    names = list(columns or DOCUMENT.names)
    lost = [pq.read_table(folder / "dropped" / f"{unit}.parquet", columns=["doc_id"])["doc_id"] for folder in ledgers]
    gone = pa.chunked_array([chunk for column in lost for chunk in column.chunks], type=pa.string())
    reads = names if "doc_id" in names else [*names, "doc_id"]
    with pq.ParquetFile(extract_folder / "documents" / f"{unit}.parquet") as file:
        for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=reads):
            kept = batch.filter(pc.invert(pc.is_in(batch["doc_id"], value_set=gone.combine_chunks())))
            if kept.num_rows:
                yield kept.select(names)


def strings(column: pa.Array | pa.ChunkedArray) -> list[str]:
    """A string column without nulls as a list. Bytes that are not UTF-8, which Arrow does not check, become U+FFFD."""
    try:
        return cast(list[str], column.to_pylist())
    except UnicodeDecodeError:
        raw = column.cast(pa.large_binary()).to_pylist()
        return [cast(bytes, one).decode("utf-8", "replace") for one in raw]
