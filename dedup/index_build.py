"""The last pass of deduplication, where the recipe asks for it: the index that later runs add to (index.py).

signatures/*, fates/*, the index that this run added to  ->  index/
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..core.documents import strings
from ..core.files import atomic_path
from ..core.manifest import FileEntry, file_entry
from ..core.remote_path import path_of
from ..core.units import Unit, UnitReport
from .bands import IDENTITY, MINHASH, URL, among, exact_keys, of_kind, partition_of
from .fates import fates_of, kept_of
from .gone import gone_docs, read_gone
from .index import TABLES, read_part
from .sketches import sketch_table, sketches
from .tables import KNOWN_DOCUMENT, matrix, numbers, read_arrow, write_arrow
from .urls import url_hashes


def index_unit(unit: Unit, folder: Path, config: dict[str, Any]) -> UnitReport:
    """Worker: sketches of the unit's documents that stay. config: extract, gone, dedup, run, its number."""
    signed = read_arrow(folder / "signatures" / f"{unit.name}.arrow")
    doc = numbers(signed["doc"])
    rows = np.flatnonzero(kept_of(folder, doc, numbers(signed["doc_low"]), config["gone"]))
    rows = rows[np.argsort(doc[rows])]
    path = folder / "index" / "sketches" / f"{config['run']:03d}" / f"{unit.name}.arrow"
    write_arrow(path, sketch_table(signed, rows, sketches(unit.name, doc[rows], config)))
    return UnitReport(name=unit.name, files=[file_entry(folder, path, len(rows))], counters={"documents": len(rows)})


def key_rows(unit: str, folder: Path, gone: Sequence[str], partitions: int) -> pa.Table:
    """What of a unit is shuffled: the band keys of who stays."""
    signed = read_arrow(folder / "signatures" / f"{unit}.arrow")
    doc = numbers(signed["doc"])
    shown = kept_of(folder, doc, numbers(signed["doc_low"]), gone) & (numbers(signed["shingles"]) > 0)
    bands = matrix(signed["bands"])
    keys = of_kind(bands[shown].ravel(), MINHASH)
    docs = np.repeat(doc[shown], bands.shape[1])
    return pa.Table.from_pydict({"key": keys, "doc": docs, "partition": partition_of(keys, partitions)})


def seen_rows(
    unit: str, folder: Path, gone: Sequence[str], extract: Path | None, run: int, units: Sequence[str], partitions: int
) -> pa.Table:
    """What else of a unit is shuffled: its documents, texts, and, where extract is given, URLs, as SEEN rows."""
    signed = read_arrow(folder / "signatures" / f"{unit}.arrow")
    doc, low = numbers(signed["doc"]), numbers(signed["doc_low"])
    survivor, survivor_low = _survivors(folder, doc, low, gone)
    left = read_gone(gone)
    known = np.sort(numbers(left["doc"])[numbers(left["reason"]) == KNOWN_DOCUMENT])
    new, compared = ~among(doc, known), ~among(doc, gone_docs(gone))
    place = np.tile(np.array([run, bisect_left(units, unit)], dtype=np.uint64), (len(doc), 1))
    kinds = [(of_kind(doc, IDENTITY)[new], doc[new], low[new], place[new])]
    kinds.append((exact_keys(signed)[compared], survivor[compared], survivor_low[compared], _exact(signed)[compared]))
    if extract is not None:
        urls = strings(pq.read_table(extract / "documents" / f"{unit}.parquet", columns=["url"])["url"])
        hashes, has = url_hashes(urls)
        has, hashes = has & compared, hashes[compared[has]]
        kinds.append((of_kind(hashes[:, 0], URL), survivor[has], survivor_low[has], hashes))
    keys, docs, lows, hashed = (np.concatenate(parts) for parts in zip(*kinds, strict=True))
    columns = {"key": keys, "doc": docs, "low": lows, "first": hashed[:, 0], "second": hashed[:, 1]}
    return pa.Table.from_pydict(columns | {"partition": partition_of(keys, partitions)})


def _survivors(folder: Path, doc: np.ndarray, low: np.ndarray, gone: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """For each document the one that stays for it, itself where it stays, as both halves of its doc_id."""
    fates = fates_of(folder, doc, low, gone)
    left = np.flatnonzero(~kept_of(folder, doc, low, gone))
    by_doc = np.argsort(numbers(fates["doc"]))
    rows = by_doc[np.searchsorted(numbers(fates["doc"]), doc[left], sorter=by_doc)]
    survivor, survivor_low = doc.copy(), low.copy()
    survivor[left], survivor_low[left] = numbers(fates["survivor"])[rows], numbers(fates["survivor_low"])[rows]
    return survivor, survivor_low


def _exact(signed: pa.Table) -> np.ndarray:
    return matrix(signed["exact"])


def meet_rows(
    number: int, rows: dict[str, np.ndarray], folder: Path, name: str, partitions: int, old: str | None
) -> dict[str, Any]:
    """Write one partition of the new index's `keys` or `seen`, with the rows of the old one. folder: STAGE/index/name.

    The report has the file's entry for the manifest: what was written is hashed here, by the worker.
    """
    schema = TABLES[name]
    tables = [pa.Table.from_pydict({one: rows[one] for one in schema.names}, schema=schema)]
    if old is not None:
        tables.append(of_part(path_of(old), name, number, partitions))
    table = _distinct(pa.concat_tables(tables))
    path = folder / f"part-{number:05d}.arrow"
    write_arrow(path, table)
    entry = file_entry(folder.parent.parent, path, table.num_rows)
    return {"partition": number, "rows": table.num_rows, "file": entry.model_dump()}


def of_part(old: Path, name: str, number: int, partitions: int) -> pa.Table:
    """The old index's rows of a partition."""
    table = read_part(old, name, number)
    return table.filter(pa.array(partition_of(numbers(table["key"]), partitions) == number))


def _distinct(table: pa.Table) -> pa.Table:
    """Each row once, sorted."""
    columns = [numbers(table[name]) for name in table.column_names]
    order = np.lexsort(columns[::-1])
    new = np.zeros(len(order), dtype=bool)
    new[:1] = True
    for column in columns:
        new[1:] |= column[order][1:] != column[order][:-1]
    return table.take(order[new])


def list_units(stage: Path, run: int, names: Sequence[str]) -> FileEntry:
    """Write the names of a run's units, by which numbers in SEEN go."""
    target = stage / "index" / "sketches" / f"{run:03d}" / "units.npy"
    with atomic_path(target) as partial, partial.open("wb") as handle:
        np.save(handle, np.array(names, dtype=np.str_))
    return file_entry(stage, target, len(names))
