"""Passes 3 and 4 of deduplication: edges to clusters, clusters to each unit's ledger.

signatures/stars/*, edges/*  ->  components.arrow
components.arrow             ->  clusters/UNIT.parquet (CLUSTER), dropped/UNIT.parquet (DROPPED)
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..core.documents import strings
from ..core.files import atomic_path
from ..core.manifest import file_entry
from ..core.schema import CLUSTER, DROPPED
from ..core.units import Unit, UnitReport
from .clusters import components, survivors
from .tables import COMPONENT, EDGE, join_ids, numbers, read_arrow, split_ids, write_arrow

EXACT_DUPLICATE, MINHASH_DUPLICATE = "exact_duplicate", "minhash_duplicate"
_IDENTITY_COLUMNS = ["doc_id", "url", "source", "origin_file", "origin_offset"]


def resolve(unit: Unit, folder: Path, config: dict[str, Any]) -> UnitReport:
    """Worker of pass 3: all edges at once. Memory: the documents that have a duplicate, and the edges."""
    partitions = json.loads((folder / "edges" / "done.json").read_text(encoding="utf-8"))["partitions"]
    stars = [folder / "signatures" / "stars" / f"{name}.arrow" for name in config["units"]]
    paths = [*stars, *(folder / "edges" / f"part-{number:05d}.arrow" for number in partitions)]
    edges = pa.concat_tables([EDGE.empty_table(), *(read_arrow(path) for path in paths)])
    left, right, exact = (numbers(edges[name]) for name in EDGE.names)
    nodes = np.unique(np.concatenate([left, right]))
    chars, low = _look_up(nodes, folder)
    left, right = np.searchsorted(nodes, left), np.searchsorted(nodes, right)
    stays = survivors(components(left, right, len(nodes)), chars)
    stays_exactly = survivors(components(left[exact], right[exact], len(nodes)), chars)
    table = {
        "doc": nodes,
        "survivor": nodes[stays],
        "survivor_low": low[stays],
        "exact": stays_exactly != np.arange(len(nodes)),
    }
    path = folder / "components.arrow"
    write_arrow(path, pa.Table.from_pydict(table, schema=COMPONENT))
    _, sizes = np.unique(stays, return_counts=True)
    largest = int(sizes.max()) if len(sizes) else 0
    counters = {"clusters": len(sizes), "largest_cluster": largest, "dropped": len(nodes) - len(sizes)}
    return UnitReport(name=unit.name, files=[file_entry(folder, path, len(nodes))], counters=counters)


def write_unit(unit: Unit, folder: Path, config: dict[str, Any]) -> UnitReport:
    """Worker of pass 4. config: extract, the extract stage's folder."""
    documents = pq.read_table(Path(config["extract"]) / "documents" / f"{unit.name}.parquet", columns=_IDENTITY_COLUMNS)
    doc, _ = split_ids(strings(documents["doc_id"]))
    found = read_arrow(folder / "components.arrow")
    nodes = numbers(found["doc"])
    place = np.minimum(np.searchsorted(nodes, doc), max(len(nodes) - 1, 0))
    member = nodes[place] == doc if len(nodes) else np.zeros(len(doc), dtype=bool)
    documents, rows = documents.filter(pa.array(member)), found.take(place[member])
    cluster = pa.array(join_ids(numbers(rows["survivor"]), numbers(rows["survivor_low"])), type=pa.string())
    keep = pc.equal(rows["doc"], rows["survivor"])
    clusters = pa.Table.from_pydict({"doc_id": documents["doc_id"], "cluster": cluster, "keep": keep}, schema=CLUSTER)
    dropped = _ledger(documents.append_column("cluster", cluster), rows["exact"]).filter(pc.invert(keep))
    files = []
    for name, table in (("clusters", clusters), ("dropped", dropped)):
        path = folder / name / f"{unit.name}.parquet"
        with atomic_path(path) as partial:
            pq.write_table(table, partial, compression="zstd")
        files.append(file_entry(folder, path, table.num_rows))
    reasons = dropped["reason"].to_pylist()
    counters = {"documents_in": len(doc), "documents": len(doc) - len(reasons), "dropped": len(reasons)}
    counters |= {f"dropped.{reason}": reasons.count(reason) for reason in (EXACT_DUPLICATE, MINHASH_DUPLICATE)}
    return UnitReport(name=unit.name, files=files, counters=counters)


def _ledger(documents: pa.Table, exact: pa.ChunkedArray) -> pa.Table:
    """DROPPED rows of the documents; `detail` is the doc_id of the member that stays."""
    count = documents.num_rows
    columns = {name: documents[name] for name in _IDENTITY_COLUMNS} | {
        "stage": pa.repeat("dedup", count),
        "reason": pc.if_else(exact, EXACT_DUPLICATE, MINHASH_DUPLICATE),
        "value": pa.nulls(count, pa.float64()),
        "detail": documents["cluster"],
    }
    return pa.Table.from_pydict({name: columns[name] for name in DROPPED.names}, schema=DROPPED)


def _look_up(nodes: np.ndarray, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Length of the text and second half of the doc_id of each node, from the signatures of all units."""
    chars, low = np.zeros(len(nodes), dtype=np.int64), np.zeros(len(nodes), dtype=np.uint64)
    found = 0
    for path in sorted(folder.glob("signatures/*.arrow")):
        table = read_arrow(path)
        doc = numbers(table["doc"])
        rows = np.flatnonzero(np.isin(doc, nodes))
        place = np.searchsorted(nodes, doc[rows])
        chars[place], low[place] = numbers(table["chars"])[rows], numbers(table["doc_low"])[rows]
        found += len(rows)
    assert found == len(nodes), f"{found} of {len(nodes)} documents with duplicates have a signature"
    return chars, low
