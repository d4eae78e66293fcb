"""The Arrow files that the passes of deduplication hand to each other, below dedup/. No text is in them.

    signatures/UNIT.arrow          SIGNATURE   one row a document, in the order of documents/UNIT.parquet
    signatures/stars/UNIT.arrow    EDGE        pairs within the unit
    edges/part-00000.arrow         EDGE        pairs across units, of the keys of one partition
    components.arrow               COMPONENT   every document that has a duplicate, sorted by `doc`

A document is the first 64 bits of its doc_id; `doc_low` is the rest.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..core.errors import ContractError
from ..core.files import atomic_path

_DOC_ID = re.compile("[0-9a-f]{32}")


def signature_schema(bands: int) -> pa.Schema:
    """SIGNATURE: the row of one document."""
    return pa.schema(
        [
            pa.field("doc", pa.uint64(), nullable=False),
            pa.field("doc_low", pa.uint64(), nullable=False),
            pa.field("chars", pa.int64(), nullable=False),  # length of the text
            pa.field("shingles", pa.int64(), nullable=False),  # 0: too short for MinHash, compared exactly only
            pa.field("exact", pa.list_(pa.field("item", pa.uint64(), nullable=False), 2), nullable=False),
            pa.field("bands", pa.list_(pa.field("item", pa.uint64(), nullable=False), bands), nullable=False),
        ]
    )


EDGE = pa.schema(
    [
        pa.field("left", pa.uint64(), nullable=False),
        pa.field("right", pa.uint64(), nullable=False),
        pa.field("exact", pa.bool_(), nullable=False),  # the whole text agrees; else a band
    ]
)

COMPONENT = pa.schema(
    [
        pa.field("doc", pa.uint64(), nullable=False),
        pa.field("survivor", pa.uint64(), nullable=False),  # the member that stays; its own id for itself
        pa.field("survivor_low", pa.uint64(), nullable=False),
        pa.field("exact", pa.bool_(), nullable=False),  # exact deduplication alone would drop it
    ]
)


def write_arrow(target: Path, table: pa.Table) -> None:
    """Write an Arrow IPC file atomically, uncompressed, as one record batch, so that it maps without copying."""
    with atomic_path(target) as partial, pa.ipc.new_file(str(partial), table.schema) as writer:
        writer.write_table(table.combine_chunks(), max_chunksize=max(table.num_rows, 1))


def read_arrow(path: Path) -> pa.Table:
    """Memory-map an Arrow IPC file."""
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


def numbers(column: pa.ChunkedArray) -> np.ndarray:
    """A column without nulls as one NumPy array: of one chunk, as our files have, a view of what is mapped, no copy."""
    if column.num_chunks == 1:
        return column.chunk(0).to_numpy(zero_copy_only=False)
    return column.combine_chunks().to_numpy(zero_copy_only=False)


def matrix(column: pa.ChunkedArray) -> np.ndarray:
    """A fixed-size list column as a matrix."""
    return np.asarray(pc.list_flatten(column)).reshape(-1, column.type.list_size)


def list_column(values: np.ndarray) -> pa.Array:
    """The reverse of `matrix`."""
    kind = pa.list_(pa.field("item", pa.uint64(), nullable=False), values.shape[1])
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), type=kind)


def split_ids(doc_ids: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """doc_ids, 32 hex digits each, as two columns of uint64. Raises ContractError naming one that is not."""
    for one in doc_ids:
        if not _DOC_ID.fullmatch(one):
            raise ContractError(f"doc_id {one!r} is not 32 hex digits", "make doc_ids with core.schema.doc_id")
    raw = bytes.fromhex("".join(doc_ids))
    both = np.frombuffer(raw, dtype=">u8").astype(np.uint64).reshape(-1, 2)
    return both[:, 0].copy(), both[:, 1].copy()


def join_ids(high: np.ndarray, low: np.ndarray) -> list[str]:
    """The reverse of `split_ids`."""
    digits = np.stack([high, low], axis=1).astype(">u8").tobytes().hex()
    return [digits[at : at + 32] for at in range(0, len(digits), 32)]
