"""Pass 4 of deduplication: what decides about the documents that have a candidate, in the order of their partitions.

documents/UNIT.parquet  ->  sketches/UNIT.arrow (SKETCH)
signatures/stars/*, edges/*  ->  routed/GROUP.arrow (EDGE)

A component lies in one partition as a whole, so that it is decided by one task, which reads a range of each file here.
A sketch is the document's set of shingles as sorted 32-bit hashes. Two different shingles of a pair with n shingles
together have one hash with a probability of about n²/2³³: once in 2,000 pairs of a thousand words each, and then the
similarity is off by some 1/n. With `verify: signature` it is the signature, whose agreement estimates a similarity s
with the standard error sqrt(s(1-s)/hashes).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..core.documents import kept_batches, strings
from ..core.manifest import file_entry
from ..core.remote_path import path_of
from ..core.settings_data import Dedup
from ..core.units import Unit, UnitReport
from .bands import among, banded, partition_of
from .clusters import components_of
from .gone import gone_docs
from .minhash import signatures
from .shingles import shingles
from .signatures import portions
from .tables import EDGE, numbers, read_arrow, sketch_schema, split_ids, write_arrow, write_ranges


def route_edges(unit: Unit, folder: Path, config: dict[str, Any]) -> UnitReport:
    """Worker: a group's files of edges as one, by partitions of their components. config: partitions."""
    tables = [read_arrow(folder / name) for name in unit.spec["paths"]]
    table = pa.concat_tables([EDGE.empty_table(), *tables]).combine_chunks()
    component, _ = components_of(folder, numbers(table["left"]))
    part = partition_of(component, config["partitions"])
    order = np.argsort(part, kind="stable")
    path = folder / "routed" / f"{unit.name}.arrow"
    write_ranges(path, part[order], config["partitions"])
    write_arrow(path, table.take(order))
    return UnitReport(name=unit.name, files=[file_entry(folder, path, table.num_rows)], counters={})


def sketch_unit(unit: Unit, folder: Path, config: dict[str, Any]) -> UnitReport:
    """Worker: the unit's documents that have a candidate. config: extract, gone, dedup, partitions."""
    signed = read_arrow(folder / "signatures" / f"{unit.name}.arrow")
    doc = numbers(signed["doc"])
    component, candidate = components_of(folder, doc)
    gone = gone_docs(config["gone"])
    candidate &= ~among(doc, gone)  # a known one may be a candidate as the index has it
    rows = np.flatnonzero(candidate)
    part = partition_of(component[rows], config["partitions"])
    rows = rows[np.lexsort((doc[rows], part))]
    # who leaves as an exact copy for certain is compared with nobody
    compared = np.sort(doc[candidate & banded(signed, gone)])
    table = sketch_table(signed, rows, sketches(unit.name, compared, config))
    path = folder / "sketches" / f"{unit.name}.arrow"
    write_ranges(path, np.sort(part), config["partitions"])
    write_arrow(path, table)
    return UnitReport(name=unit.name, files=[file_entry(folder, path, len(rows))], counters={"documents": len(rows)})


def sketches(unit: str, wanted: np.ndarray, config: dict[str, Any]) -> dict[int, np.ndarray]:
    """Sketches of the wanted documents (sorted) of a unit, by document."""
    settings = Dedup.model_validate(config["dedup"])
    found: dict[int, np.ndarray] = {}
    if not len(wanted) or settings.verify == "none":
        return found
    for batch in kept_batches(unit, path_of(config["extract"]), columns=["doc_id", "text"]):
        doc, _ = split_ids(strings(batch["doc_id"]))
        here = among(doc, wanted)
        texts = strings(batch["text"].filter(pa.array(here)))
        found.update(zip(doc[here].tolist(), _sketches(texts, settings), strict=True))
    return found


def _sketches(texts: list[str], settings: Dedup) -> Iterator[np.ndarray]:
    for some in portions(texts):
        flat, offsets = shingles(some, settings.ngram, settings.unit)
        if settings.verify == "signature":
            yield from signatures(flat, offsets, settings.hashes, settings.seed)
        else:
            yield from distinct(flat, offsets)


def distinct(flat: np.ndarray, offsets: np.ndarray) -> list[np.ndarray]:
    """Each text's hashes, uint32, sorted and each once; flat and offsets as `shingles` gives them."""
    texts = len(offsets) - 1
    owned = np.repeat(np.arange(texts, dtype=np.uint64) << np.uint64(32), np.diff(offsets)) | flat
    owned.sort()  # all texts at once
    new = np.ones(len(owned), dtype=bool)
    new[1:] = owned[1:] != owned[:-1]
    owned = owned[new]
    ends = np.searchsorted(owned, np.arange(1, texts, dtype=np.uint64) << np.uint64(32))
    return np.split(owned.astype(np.uint32), ends)


def sketch_table(signed: pa.Table, rows: np.ndarray, found: dict[int, np.ndarray]) -> pa.Table:
    """SKETCH rows of some rows of a SIGNATURE table; documents that were not sketched have an empty one."""
    none = np.zeros(0, dtype=np.uint32)
    taken = signed.select(["doc", "doc_low", "exact", "priority"]).take(rows).combine_chunks()
    values = [found.get(one, none) for one in numbers(taken["doc"]).tolist()]
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in values])]).astype(np.int64)
    schema = sketch_schema(signed.schema.field("priority").type.list_size)
    make: Any = pa.LargeListArray.from_arrays
    lists = make(pa.array(offsets), pa.array(np.concatenate([none, *values])), type=schema.field("sketch").type)
    return taken.append_column(schema.field("sketch"), lists)
