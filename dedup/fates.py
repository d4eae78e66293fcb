"""Pass 6 of deduplication: what was decided, to each unit's ledger.

fates/*, known/*, urls/*  ->  clusters/UNIT.parquet (CLUSTER), dropped/UNIT.parquet (DROPPED), samples/UNIT.arrow
(SAMPLE)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..core.documents import kept_batches, strings
from ..core.files import atomic_path
from ..core.manifest import file_entry
from ..core.remote_path import path_of
from ..core.schema import CLUSTER, DROPPED
from ..core.units import Unit, UnitReport
from .bands import among, partition_of
from .clusters import components_of
from .gone import read_gone
from .tables import (
    EXACT_DUPLICATE,
    FATE,
    KEPT,
    KNOWN_DOCUMENT,
    MINHASH_DUPLICATE,
    REASONS,
    URL_DUPLICATE,
    join_ids,
    numbers,
    part_files,
    read_arrow,
    split_ids,
    write_arrow,
)

_IDENTITY_COLUMNS = ["doc_id", "url", "source", "origin_file", "origin_offset"]
LEFT = (EXACT_DUPLICATE, MINHASH_DUPLICATE, URL_DUPLICATE, KNOWN_DOCUMENT)
LONG = 1 << 20  # characters: a text above is in no sample
SAMPLE = pa.schema([pa.field("doc", pa.uint64(), nullable=False), pa.field("text", pa.large_string(), nullable=False)])


def fates_of(folder: Path, docs: np.ndarray, lows: np.ndarray, gone: Sequence[str]) -> pa.Table:
    """FATE rows of those documents that are in a cluster, in the order of `docs`; all others stay."""
    decided = _decided(folder, docs)
    left = read_gone(gone)
    newest = np.unique(numbers(left["survivor"])[numbers(left["reason"]) == URL_DUPLICATE])
    left = left.filter(pa.array(np.isin(numbers(left["doc"]), docs)))
    alone = among(docs, newest) & ~np.isin(docs, numbers(decided["doc"])) & ~among(docs, numbers(left["doc"]))
    stay = {"doc": docs[alone], "survivor": docs[alone], "survivor_low": lows[alone]}
    more = {"reason": np.full(alone.sum(), KEPT, dtype=np.int8), "similarity": pa.nulls(alone.sum(), pa.float64())}
    stays = pa.Table.from_pydict(stay | more, schema=FATE)
    both = pa.concat_tables([decided, _followed(folder, left), stays]).combine_chunks()
    order = np.argsort(docs)
    place = order[np.searchsorted(docs, numbers(both["doc"]), sorter=order)]
    return both.take(np.argsort(place))


def kept_of(folder: Path, docs: np.ndarray, lows: np.ndarray, gone: Sequence[str]) -> np.ndarray:
    """bool: which documents stay."""
    fates = fates_of(folder, docs, lows, gone)
    left = np.isin(numbers(fates["reason"]), LEFT)
    return ~among(docs, np.sort(numbers(fates["doc"])[left]))


def _decided(folder: Path, docs: np.ndarray) -> pa.Table:
    paths = part_files(folder / "fates")
    component, has = components_of(folder, docs)
    docs, part = docs[has], partition_of(component[has], len(paths))
    found = [FATE.empty_table()]
    for number in np.unique(part).tolist():
        table = read_arrow(paths[number])
        known, wanted = numbers(table["doc"]), docs[part == number]
        if not len(known):
            continue
        place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
        found.append(table.take(place[known[place] == wanted]))
    return pa.concat_tables(found)


def _followed(folder: Path, gone: pa.Table) -> pa.Table:
    """Documents that leave for their URL: where the newer one left too, the one that stays for that."""
    newer, which = np.unique(numbers(gone["survivor"]), return_inverse=True)
    fates = _decided(folder, newer)
    fates = fates.filter(pa.array(np.isin(numbers(fates["reason"]), LEFT)))
    place = np.full(len(newer), -1)
    place[np.searchsorted(newer, numbers(fates["doc"]))] = np.arange(fates.num_rows)
    moved = place[which]
    for name in ("survivor", "survivor_low"):
        values = numbers(gone[name]).copy()
        values[moved >= 0] = numbers(fates[name])[moved[moved >= 0]]
        gone = gone.set_column(gone.schema.get_field_index(name), gone.schema.field(name), pa.array(values))
    return gone


def write_unit(unit: Unit, folder: Path, config: dict[str, Any]) -> UnitReport:
    """Worker of pass 6. config: extract, gone, dedup, sample (documents whose texts are compared)."""
    documents = pq.read_table(
        path_of(config["extract"]) / "documents" / f"{unit.name}.parquet", columns=_IDENTITY_COLUMNS
    )
    doc, low = split_ids(strings(documents["doc_id"]))
    fates = fates_of(folder, doc, low, config["gone"])
    rows = documents.take(np.flatnonzero(np.isin(doc, numbers(fates["doc"]))))
    reason = numbers(fates["reason"])
    cluster = pa.array(join_ids(numbers(fates["survivor"]), numbers(fates["survivor_low"])), type=pa.string())
    keep = pa.array(~np.isin(reason, LEFT))
    clusters = pa.Table.from_pydict({"doc_id": rows["doc_id"], "cluster": cluster, "keep": keep}, schema=CLUSTER)
    clusters = clusters.filter(pa.array(reason != KNOWN_DOCUMENT))  # which were not compared
    dropped = _ledger(rows, cluster, fates).filter(pc.invert(keep))
    files = []
    for name, table in (("clusters", clusters), ("dropped", dropped)):
        path = folder / name / f"{unit.name}.parquet"
        with atomic_path(path) as partial:
            pq.write_table(table, partial, compression="zstd")
        files.append(file_entry(folder, path, table.num_rows))
    write_arrow(folder / "samples" / f"{unit.name}.arrow", _sample(unit.name, doc, config))
    counters = {"documents_in": len(doc), "documents": len(doc) - dropped.num_rows, "dropped": dropped.num_rows}
    shown = LEFT if config["dedup"]["index"] else LEFT[:-1]
    counters |= {f"dropped.{REASONS[one]}": int((reason == one).sum()) for one in shown}
    known = rows.filter(pa.array(reason == KNOWN_DOCUMENT))
    for table, what in ((documents, "in"), (dropped, "left"), (known, "known")):
        counters |= {f"{what}:{name}": count for name, count in Counter(strings(table["source"])).items()}
    return UnitReport(name=unit.name, files=files, counters=counters)


def _sample(unit: str, doc: np.ndarray, config: dict[str, Any]) -> pa.Table:
    """SAMPLE rows of those documents of the unit whose texts are wanted, without very long ones."""
    # of a known document the index's text decided, not the one here
    wanted = np.setdiff1d(np.array(config["sample"], dtype=np.uint64), numbers(read_gone(config["gone"])["doc"]))
    found: dict[str, list[Any]] = {"doc": [], "text": []}
    if among(doc, wanted).any():
        for batch in kept_batches(unit, path_of(config["extract"]), columns=["doc_id", "text"]):
            here = np.flatnonzero(among(split_ids(strings(batch["doc_id"]))[0], wanted))
            some = batch.take(here)
            texts = strings(some["text"])
            rows = [at for at, text in enumerate(texts) if len(text) <= LONG]
            found["doc"] += [int(strings(some["doc_id"])[at][:16], 16) for at in rows]
            found["text"] += [texts[at] for at in rows]
    found["text"] = [text.encode("utf-8", "replace").decode() for text in found["text"]]
    return pa.Table.from_pydict(found, schema=SAMPLE)


def _ledger(documents: pa.Table, cluster: pa.Array, fates: pa.Table) -> pa.Table:
    """DROPPED rows of the documents; `detail` is the doc_id of the one that stays, `value` the similarity to it."""
    reasons = pa.array([REASONS[one] for one in numbers(fates["reason"]).tolist()], type=pa.string())
    columns = {name: documents[name] for name in _IDENTITY_COLUMNS} | {
        "stage": pa.repeat("dedup", documents.num_rows),
        "reason": reasons,
        "value": fates["similarity"],
        "detail": cluster,
    }
    return pa.Table.from_pydict({name: columns[name] for name in DROPPED.names}, schema=DROPPED)
