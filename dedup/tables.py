"""The Arrow files that the passes of deduplication hand to each other, below dedup/. No text is in them.

    signatures/UNIT.arrow             SIGNATURE   one row a document, in the order of documents/UNIT.parquet
    signatures/stars/UNIT.arrow       EDGE        documents of the unit that share a key
    edges/1-of-1/part-00000.arrow     EDGE        documents across units that share a key of the partition
    routed/GROUP.arrow                EDGE        both, in the order of their component's partition
    components/part-00000.arrow       COMPONENT   every document that has a candidate, sorted by `doc`
    sketches/UNIT.arrow               SKETCH      what decides about these documents, by partition
    fates/part-00000.arrow            FATE        members of clusters and what becomes of them, sorted by `doc`

A document is the first 64 bits of its doc_id; `doc_low` is the rest. A file that is cut into ranges for partitions has
a `.ranges.npy` beside it: where each partition begins, and the end.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..core.errors import ContractError
from ..core.files import atomic_path
from ..core.units import Unit

MAPPED = 1 << 14  # files at a time; Linux allows a process 65,530 maps of all kinds (vm.max_map_count)
_DIGITS = re.compile("[0-9a-f]*")


def number(name: str) -> pa.Field:
    return pa.field(name, pa.uint64(), nullable=False)


def _list(name: str, kind: pa.DataType, size: int = -1) -> pa.Field:
    item = pa.field("item", kind, nullable=False)
    return pa.field(name, pa.large_list(item) if size < 0 else pa.list_(item, size), nullable=False)


def signature_schema(bands: int, terms: int) -> pa.Schema:
    """SIGNATURE: the row of one document."""
    return pa.schema(
        [
            number("doc"),
            number("doc_low"),
            pa.field("shingles", pa.int64(), nullable=False),  # 0: too short for MinHash, compared exactly only
            _list("exact", pa.uint64(), 2),
            _list("bands", pa.uint64(), bands),
            _list("priority", pa.uint64(), terms),  # smaller is better: priority.py
        ]
    )


EDGE = pa.schema([number("left"), number("right"), number("key")])  # both have the key

COMPONENT = pa.schema([number("doc"), number("component")])  # its smallest document


def sketch_schema(terms: int) -> pa.Schema:
    """SKETCH: what decides about one document that has a candidate."""
    return pa.schema(
        [
            number("doc"),
            number("doc_low"),
            _list("exact", pa.uint64(), 2),
            _list("priority", pa.uint64(), terms),
            _list("sketch", pa.uint32()),  # sorted hashes of its shingles, or its signature, or empty
        ]
    )


FATE = pa.schema(
    [
        number("doc"),
        number("survivor"),  # who stays for it; itself where it stays
        number("survivor_low"),
        pa.field("reason", pa.int8(), nullable=False),  # an index of REASONS
        pa.field("similarity", pa.float64()),  # to the one that stays, where it was measured
    ]
)
REASONS = ("kept", "exact_duplicate", "minhash_duplicate", "url_duplicate", "quarantined", "known_document")
KEPT, EXACT_DUPLICATE, MINHASH_DUPLICATE, URL_DUPLICATE, QUARANTINED, KNOWN_DOCUMENT = range(6)


def write_arrow(target: Path, table: pa.Table) -> None:
    """Write an Arrow IPC file atomically, uncompressed, as one record batch, so that it maps without copying."""
    with atomic_path(target) as partial, pa.ipc.new_file(str(partial), table.schema) as writer:
        writer.write_table(table.combine_chunks(), max_chunksize=max(table.num_rows, 1))


def only_parts(folder: Path, units: Iterable[Unit]) -> None:
    """Remove the files part-* of an attempt with other partitions: what reads the folder's parts takes all of them."""
    wanted = {f"{unit.name}.arrow" for unit in units}
    for path in sorted(folder.glob("part-*")):
        if path.name not in wanted:
            path.unlink()


def read_arrow(path: Path) -> pa.Table:
    """Memory-map an Arrow IPC file."""
    return pa.ipc.open_file(pa.memory_map(os.fspath(path))).read_all()


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


def ragged(column: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """A large list column as values and offsets, of one chunk mapped."""
    whole: Any = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    return np.asarray(whole.values), np.asarray(whole.offsets)


def write_ranges(path: Path, partition: np.ndarray, partitions: int) -> None:
    """Where each partition's rows begin in a file that is ordered by `partition`; written before the file itself."""
    starts = np.searchsorted(partition, np.arange(partitions + 1))
    with atomic_path(path.with_suffix(".ranges.npy")) as partial, partial.open("wb") as handle:
        np.save(handle, starts)


def read_range(path: Path, partition: int) -> pa.Table:
    """The rows of one partition, mapped. Of the ranges, which are as many as there are partitions, two are read."""
    starts = np.load(path.with_suffix(".ranges.npy"), mmap_mode="r")
    first, last = int(starts[partition]), int(starts[partition + 1])
    return read_arrow(path).slice(first, last - first)


def read_ranges(paths: Sequence[Path], partition: int) -> list[pa.Table]:
    """The same of many files; above MAPPED of them copied, as a process can map so many files and no more."""
    tables = (read_range(path, partition) for path in paths)
    if len(paths) <= MAPPED:
        return list(tables)
    return [table.take(np.arange(table.num_rows)) for table in tables]


def part_files(folder: Path) -> list[Path]:
    """The files part-*.arrow of a folder in the order of their numbers, which is not that of their names: above 99,999
    a number has a digit more."""
    return sorted(folder.glob("part-*.arrow"), key=lambda path: int(path.stem.rpartition("-")[2]))


def split_ids(doc_ids: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """doc_ids, 32 hex digits each, as two columns of uint64. Raises ContractError naming one that is not."""
    joined = "".join(doc_ids)
    if not _DIGITS.fullmatch(joined) or any(len(one) != 32 for one in doc_ids):
        one = next(one for one in doc_ids if len(one) != 32 or not _DIGITS.fullmatch(one))
        raise ContractError(f"doc_id {one!r} is not 32 hex digits", "make doc_ids with core.schema.doc_id")
    raw = bytes.fromhex(joined)
    both = np.frombuffer(raw, dtype=">u8").astype(np.uint64).reshape(-1, 2)
    return both[:, 0].copy(), both[:, 1].copy()


def join_ids(high: np.ndarray, low: np.ndarray) -> list[str]:
    """The reverse of `split_ids`."""
    digits = np.stack([high, low], axis=1).astype(">u8").tobytes().hex()
    return [digits[at : at + 32] for at in range(0, len(digits), 32)]
