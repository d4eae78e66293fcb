"""Pass 5 of deduplication: the documents of one partition of components are decided, in the order of priority.

routed/*, sketches/*, the index  ->  fates/part-00000.arrow (FATE), pairs/part-00000.arrow (PAIR)

Equal texts first, by all 128 bits of their hashes: the best of each class answers for all of it. Then these, by
candidate pairs (similar.py), or with `verify: none` by components. Where more than gates.giant_cluster of them, the one
that stays included, would make one cluster, it is quarantined: all its members stay, equal texts excepted. The index's
documents come before all others, in the order of the runs that added them, and stay.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..core.manifest import file_entry
from ..core.remote_path import path_of
from ..core.settings_data import Dedup
from ..core.units import Unit, UnitReport
from .bands import EXACT, MINHASH, kind_of, members
from .clusters import components
from .hashing import mix
from .index import look_up, read_sketches
from .priority import order_of
from .similar import decide_all
from .tables import (
    EDGE,
    EXACT_DUPLICATE,
    FATE,
    KEPT,
    MINHASH_DUPLICATE,
    QUARANTINED,
    matrix,
    number,
    numbers,
    ragged,
    read_ranges,
    sketch_schema,
    write_arrow,
)

PAIR = pa.schema([number("left"), number("right"), pa.field("similarity", pa.float64(), nullable=False)])

THIS_RUN = 1 << 30  # behind the runs that made the index


def decide_part(unit: Unit, folder: Path, config: dict[str, Any]) -> UnitReport:
    """Worker of pass 5. config: units, groups, index (or null), dedup, terms."""
    settings = Dedup.model_validate(config["dedup"])
    part = int(unit.name.rpartition("-")[2])
    edges = read_ranges([folder / "routed" / f"{name}.arrow" for name in config["groups"]], part)
    keys, docs = members(pa.concat_tables([EDGE.empty_table(), *edges]))
    found, run = _documents(part, np.unique(docs), folder, config)
    order = order_of(matrix(found["priority"]), numbers(found["doc"]), numbers(found["doc_low"]))
    order = order[np.argsort(run[order], kind="stable")]
    found, old = found.take(order).combine_chunks(), run[order] < THIS_RUN
    doc = numbers(found["doc"])
    by_doc = np.argsort(doc)
    nodes = by_doc[np.searchsorted(doc, docs, sorter=by_doc)]
    stood = keys[(kind_of(keys) == EXACT) & old[nodes]]
    texts = _old_texts(path_of(config["index"]), stood, doc, by_doc) if len(stood) else None
    fates, pairs, counters = decide(keys, nodes, found, old, settings, texts)
    files = []
    for name, table in (("fates", fates.sort_by("doc")), ("pairs", pairs)):
        path = folder / name / f"part-{part:05d}.arrow"
        write_arrow(path, table)
        files.append(file_entry(folder, path, table.num_rows))
    return UnitReport(name=unit.name, files=files, counters=counters)


def decide(
    keys: np.ndarray,
    nodes: np.ndarray,
    found: pa.Table,
    old: np.ndarray,
    settings: Dedup,
    texts: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[pa.Table, pa.Table, dict[str, int]]:
    """FATE rows of the new documents that are in a cluster, PAIR rows of a sample of compared pairs, counters.

    found: SKETCH rows in the order of priority, of which a document's number is its place; keys and nodes: which has
    which key; old: those of the index; texts: for which texts these stay, as documents and uint64 [texts, 2] of hashes.
    """
    count = found.num_rows
    new = nodes[(kind_of(keys) == EXACT) & ~old[nodes]]
    answering, hashes = new, matrix(found["exact"])[new]
    if texts is not None:
        answering, hashes = np.concatenate([new, texts[0]]), np.concatenate([hashes, texts[1]])
    answers = _best_of_equals(answering, hashes, count)
    own = answers == np.arange(count)
    near = (kind_of(keys) == MINHASH) & own[nodes]
    keys, nodes = keys[near], nodes[near]
    pairs, similarity, compared = _pairs(), np.full(count, np.nan), 0
    if settings.verify == "none":
        survivor = _components(keys, nodes, count)
    else:
        survivor, similarity, compared, pairs = _verified(keys, nodes, found, old, settings)
    best = survivor
    giant = own & (np.bincount(best[own], minlength=count) > settings.gates.giant_cluster)[best]
    survivor = np.where(giant, np.arange(count), best)[answers]
    similarity[~own | giant] = np.nan
    reason = np.where(survivor == np.arange(count), KEPT, np.where(own, MINHASH_DUPLICATE, EXACT_DUPLICATE))
    reason[giant] = QUARANTINED
    shown = np.where(giant, best, survivor)  # a quarantined cluster goes by its best member
    doc, low = numbers(found["doc"]), numbers(found["doc_low"])
    fates = pa.Table.from_pydict(
        {
            "doc": doc,
            "survivor": doc[shown],
            "survivor_low": low[shown],
            "reason": reason.astype(np.int8),
            "similarity": pa.array(similarity, from_pandas=True),
        },
        schema=FATE,
    )
    clustered = np.bincount(survivor, minlength=count)
    fates = fates.filter(pa.array(~old & ((clustered[survivor] > 1) | (reason == QUARANTINED))))
    clustered = clustered[clustered > 1]
    counters = {
        "clusters": len(clustered),
        "largest_cluster": int(clustered.max(initial=0)),
        "compared_pairs": int(compared),
        "quarantined": int((giant & ~old).sum()),
    }
    return fates, pairs, counters


def _verified(
    keys: np.ndarray, nodes: np.ndarray, found: pa.Table, old: np.ndarray, settings: Dedup
) -> tuple[np.ndarray, np.ndarray, int, pa.Table]:
    """Survivors, similarities, number of compared pairs, and the sample of them."""
    count = found.num_rows
    new = np.ones(len(keys), dtype=bool)
    new[1:] = keys[1:] != keys[:-1]
    key_starts = np.append(np.flatnonzero(new), len(keys))
    number = np.cumsum(new) - 1
    by_node = np.argsort(nodes, kind="stable")
    starts = np.searchsorted(nodes[by_node], np.arange(count + 1))
    values, offsets = ragged(found["sketch"])
    doc = numbers(found["doc"])
    survivor, similarity, compared, pairs, measured = decide_all(
        key_starts,
        starts,
        number[by_node],
        values,
        offsets,
        old,
        mix(doc ^ np.uint64(0x9E3779B97F4A7C15)),
        settings.threshold,
        settings.verify == "signature",
    )
    return survivor, similarity, compared, _pairs(doc[pairs[:, 0]], doc[pairs[:, 1]], measured)


def _pairs(*columns: np.ndarray) -> pa.Table:
    return pa.Table.from_pydict(dict(zip(PAIR.names, columns or ([], [], []), strict=True)), schema=PAIR)


def _best_of_equals(nodes: np.ndarray, hashes: np.ndarray, count: int) -> np.ndarray:
    """For each document the first of those with its text: nodes have the hashes, uint64 [nodes, 2], all 128 bits."""
    answers = np.arange(count)
    order = np.lexsort((nodes, hashes[:, 1], hashes[:, 0]))
    nodes, hashes = nodes[order], hashes[order]
    first = np.ones(len(nodes), dtype=bool)
    first[1:] = (hashes[1:] != hashes[:-1]).any(axis=1)
    # the index has a document once for each text that left for its sake: there it answers for more than its own
    np.minimum.at(answers, nodes, nodes[np.maximum.accumulate(np.where(first, np.arange(len(nodes)), 0))])
    return answers


def _old_texts(index: Path, keys: np.ndarray, doc: np.ndarray, by_doc: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The index's texts with these EXACT keys: who stays for each, by its place in `doc`, and their hashes."""
    seen = look_up(index, keys)
    nodes = by_doc[np.searchsorted(doc, numbers(seen["doc"]), sorter=by_doc)]
    return nodes, np.stack([numbers(seen["first"]), numbers(seen["second"])], axis=1)


def _components(keys: np.ndarray, nodes: np.ndarray, count: int) -> np.ndarray:
    """Each document's component: its first member. keys are sorted."""
    first = np.ones(len(keys), dtype=bool)
    first[1:] = keys[1:] != keys[:-1]
    centre = nodes[np.maximum.accumulate(np.where(first, np.arange(len(keys)), 0))]
    return components(centre, nodes, count)


def _documents(part: int, docs: np.ndarray, folder: Path, config: dict[str, Any]) -> tuple[pa.Table, np.ndarray]:
    """SKETCH rows of these documents (sorted), and the run of each: those of the index in the order they were added."""
    tables = read_ranges([folder / "sketches" / f"{name}.arrow" for name in config["units"]], part)
    schema = sketch_schema(len(config["terms"]))
    here = pa.concat_tables([schema.empty_table(), *tables])
    runs = np.full(here.num_rows, THIS_RUN)
    missing = np.setdiff1d(docs, numbers(here["doc"]))
    if config["index"] and len(missing):
        before, added = read_sketches(path_of(config["index"]), missing, len(config["terms"]))
        here, runs = pa.concat_tables([here, before]), np.concatenate([runs, added])
    assert here.num_rows == len(docs), f"{here.num_rows} of {len(docs)} documents of partition {part} have a sketch"
    return here, runs
