"""Before all other passes, with `dedup.known: drop`: documents that stand in the index already leave.

documents/UNIT.parquet, the index  ->  known/part-00000.arrow (FATE), the documents that leave

A document is known by its doc_id, whatever its text is now, and whether it stayed then or left. In the ledger it stands
for itself: `detail` is its own doc_id.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..core.documents import strings
from ..core.remote_path import path_of
from .bands import IDENTITY, of_kind, partition_of
from .index import joined, read_part
from .tables import FATE, KNOWN_DOCUMENT, numbers, split_ids, write_arrow


def known_rows(unit: str, extract: Path, partitions: int) -> pa.Table:
    """What of a unit is shuffled: 28 bytes a document."""
    table = pq.read_table(extract / "documents" / f"{unit}.parquet", columns=["doc_id"])
    doc, low = split_ids(strings(table["doc_id"]))
    keys = of_kind(doc, IDENTITY)
    return pa.Table.from_pydict({"key": keys, "doc": doc, "low": low, "partition": partition_of(keys, partitions)})


def meet_known(number: int, rows: dict[str, np.ndarray], folder: Path, index: str | None) -> dict[str, Any]:
    """The documents of one partition that the index has seen leave."""
    assert index is not None, "without an index no document is known"
    table = read_part(path_of(index), "seen", number)
    at, found = joined(table, rows["key"])
    at = at[numbers(table["doc"])[found] == rows["doc"][at]]
    at = at[np.argsort(rows["doc"][at])]
    leaves = {
        "doc": rows["doc"][at],
        "survivor": rows["doc"][at],
        "survivor_low": rows["low"][at],
        "reason": np.full(len(at), KNOWN_DOCUMENT, dtype=np.int8),
        "similarity": pa.nulls(len(at), pa.float64()),
    }
    write_arrow(folder / f"part-{number:05d}.arrow", pa.Table.from_pydict(leaves, schema=FATE))
    return {"partition": number, "rows": len(rows["key"])}
