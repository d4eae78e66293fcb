"""Pass 2 of deduplication: what a unit sends to the shuffle, and what becomes of the rows that meet.

signatures/UNIT.arrow  ->  rows (key, document, partition)  ->  edges/1-of-1/part-00000.arrow (EDGE)

The rows of 16 bytes, and 4 for the partition, are one a key: the unit's own duplicates are stars already. With several
passes each sends a share of the bands, the first one all other keys too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from .bands import MINHASH, collapse, kind_of, partition_of, rows_of, twice
from .index import joined
from .tables import EDGE, numbers, read_arrow, write_arrow
from .urls import url_duplicates


def edge_rows(unit: str, folder: Path, urls: str | None, partitions: int, part: int, passes: int) -> pa.Table:
    """Rows of a unit for one of the passes."""
    keys, docs, _ = collapse(*rows_of(read_arrow(folder / "signatures" / f"{unit}.arrow"), url_duplicates(urls)))
    if passes > 1:
        share = np.where(kind_of(keys) == MINHASH, (keys >> np.uint64(2)) % np.uint64(passes), 0) == part
        keys, docs = keys[share], docs[share]
    return pa.Table.from_pydict({"key": keys, "doc": docs, "partition": partition_of(keys, partitions)})


def meet_edges(number: int, rows: dict[str, np.ndarray], folder: Path, index: str | None) -> dict[str, Any]:
    """Write the edges of one partition: stars of equal keys, and from their centres to the index's documents."""
    keys, docs, edges = collapse(rows["key"], rows["doc"])
    report = {"partition": number, "rows": len(rows["key"]), "twice": twice(keys, docs).tolist()[:1], "known": []}
    if index is not None:
        at, old = joined(Path(index), number, keys)
        # a key's documents: its star's centre meets the old ones, and through it all others of the key
        report["known"] = _known(docs[at], edges, old)
        more = pa.Table.from_pydict({"left": docs[at], "right": old, "key": keys[at]}, schema=EDGE)
        edges = pa.concat_tables([edges, more])
    write_arrow(folder / f"part-{number:05d}.arrow", edges)
    return report | {"edges": edges.num_rows}


def _known(docs: np.ndarray, edges: pa.Table, old: np.ndarray) -> list[int]:
    """One document of this run that stands in the index, if there is any: its keys are there too, so they meet here."""
    return np.intersect1d(np.concatenate([docs, numbers(edges["right"])]), old).tolist()[:1]
