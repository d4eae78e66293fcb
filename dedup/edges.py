"""Pass 2 of deduplication: what a unit sends to the shuffle, and what becomes of the rows that meet.

signatures/UNIT.arrow  ->  rows (key, document, partition)  ->  edges/1-of-1/part-00000.arrow (EDGE)

The rows of 16 bytes, and 4 for the partition, are one a key: the unit's own duplicates are stars already. With several
passes each sends a share of the bands, the first one all other keys too.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..core.remote_path import path_of
from .bands import IDENTITY, MINHASH, collapse, kind_of, partition_of, rows_of, twice
from .gone import gone_docs
from .index import TABLES, joined, read_part
from .tables import EDGE, numbers, read_arrow, write_arrow


def edge_rows(unit: str, folder: Path, gone: Sequence[str], partitions: int, part: int, passes: int) -> pa.Table:
    """Rows of a unit for one of the passes."""
    keys, docs, _ = collapse(*rows_of(read_arrow(folder / "signatures" / f"{unit}.arrow"), gone_docs(gone)))
    if passes > 1:
        share = np.where(kind_of(keys) == MINHASH, (keys >> np.uint64(2)) % np.uint64(passes), 0) == part
        keys, docs = keys[share], docs[share]
    return pa.Table.from_pydict({"key": keys, "doc": docs, "partition": partition_of(keys, partitions)})


def meet_edges(number: int, rows: dict[str, np.ndarray], folder: Path, index: str | None) -> dict[str, Any]:
    """Write the edges of one partition: stars of equal keys, and from their centres to the index's documents.

    The report names a document that stands twice, and one that stands in the index, if there are any.
    """
    keys, docs, edges = collapse(rows["key"], rows["doc"])
    report = {"partition": number, "rows": len(rows["key"]), "twice": twice(keys, docs).tolist()[:1], "known": []}
    for name in TABLES if index is not None else ():
        table = read_part(path_of(index or ""), name, number)
        at, found = joined(table, keys)
        old = numbers(table["doc"])[found]
        identity = kind_of(keys[at]) == IDENTITY
        report["known"] += np.sort(old[identity & (docs[at] == old)]).tolist()[:1]
        # a key's documents: its star's centre meets the old ones, and through it all others of the key
        at, old = at[~identity], old[~identity]
        more = pa.Table.from_pydict({"left": docs[at], "right": old, "key": keys[at]}, schema=EDGE)
        edges = pa.concat_tables([edges, more])
    write_arrow(folder / f"part-{number:05d}.arrow", edges)
    return report | {"edges": edges.num_rows}
