"""Where documents come from whose doc_ids may not be: one that stands twice, or in an index already."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..core.errors import ContractError
from ..core.units import Unit
from .bands import IDENTITY, of_kind
from .index import look_up, read_index, sketch_file
from .tables import join_ids


def same_id(doc: int, units: Sequence[Unit], extract: Path) -> ContractError:
    """The error of two documents with one id, or with two that begin with the same 64 bits, `doc`; both are named."""
    found = _origins(doc, [unit.name for unit in units], extract)
    doubled = [(one, origin) for one, origin in found if [other for other, _ in found].count(one) > 1]
    told = "; ".join(f"{one} is {origin}" for one, origin in (doubled or found)[:2])
    if doubled:
        return ContractError(f"two documents have one doc_id: {told}", "name each input file in one source, once")
    return ContractError(
        f"two documents have different doc_ids that begin with the same 64 bits, by which deduplication knows a "
        f"document: {told}",
        "leave one of the two out, or give the source of one another name in the recipe: its documents then have other "
        "doc_ids",
    )


def in_index(doc: int, units: Sequence[Unit], extract: Path, index: Path) -> ContractError:
    """The error of a document that the index has seen. Its old origin: run and unit, and the file where the
    index's last run added it, whose folder holds the index."""
    [(whole, origin), *_] = _origins(doc, [unit.name for unit in units], extract)
    seen = look_up(index, of_kind(np.array([doc], dtype=np.uint64), IDENTITY)).to_pylist()
    [row] = [row for row in seen if row["doc"] == doc]
    unit = sketch_file(index, row["first"], row["second"]).stem
    old = f"unit {unit} of run {row['first'] + 1} of the {read_index(index)['runs']} that made it"
    [old_id] = join_ids(np.array([doc], dtype=np.uint64), np.array([row["low"]], dtype=np.uint64))
    if row["first"] + 1 == read_index(index)["runs"]:  # the index lies in that run's folder, not in those of others
        before = _origins(doc, [unit], index.parent.parent / "extract")
        old += "".join([f", {there}" for one, there in before if one == old_id][:1])
    if old_id != whole:
        return ContractError(
            f"document {whole}, {origin}, begins with the same 64 bits as {old_id}, which stands in the index {index} "
            f"and was added from {old}; deduplication knows a document by these bits",
            "leave the new one out, give its source another name in the recipe, so that its documents have other "
            "doc_ids, or drop such documents with --set dedup.known=drop",
        )
    return ContractError(
        f"document {whole}, {origin}, stands in the index {index} already: it was added from {old}",
        "add documents to an index once: leave out what was added, give a recrawl another source name, or drop "
        "such documents with --set dedup.known=drop",
    )


def _origins(doc: int, units: Sequence[str], extract: Path) -> list[tuple[str, str]]:
    """doc_ids that begin with `doc` and where each comes from, in the units that are there."""
    found = []
    for path in (extract / "documents" / f"{unit}.parquet" for unit in units):
        if path.is_file():
            table = pq.read_table(path, columns=["doc_id", "source", "origin_file", "origin_offset"])
            rows = table.filter(pc.starts_with(table["doc_id"], f"{doc:016x}")).to_pylist()
            found += [(r["doc_id"], f"{r['origin_file']}@{r['origin_offset']} of source {r['source']}") for r in rows]
    return found
