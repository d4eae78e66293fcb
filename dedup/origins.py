"""Where the two documents of one doc_id come from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..core.errors import ContractError
from ..core.units import Unit


def same_id(doc: int, units: Sequence[Unit], extract: Path) -> ContractError:
    """The error of two documents with one id, of which `doc` is the first half, naming both origins."""
    found = []
    for unit in units:
        path = extract / "documents" / f"{unit.name}.parquet"
        table = pq.read_table(path, columns=["doc_id", "source", "origin_file", "origin_offset"])
        rows = table.filter(pc.starts_with(table["doc_id"], f"{doc:016x}")).to_pylist()
        found += [f"{r['doc_id']} is {r['origin_file']}@{r['origin_offset']} of source {r['source']}" for r in rows]
    return ContractError(
        f"two documents have one doc_id: {'; '.join(found[:2])}", "name each input file in one source, once"
    )
