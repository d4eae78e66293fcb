"""The last pass of deduplication, where the recipe asks for it: the index that later runs add to (index.py).

signatures/*, fates/*, the index that this run added to  ->  index/
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..core.manifest import file_entry
from ..core.units import Unit, UnitReport
from .bands import MINHASH, among, exact_keys, of_kind, partition_of
from .fates import fates_of, kept_of
from .index import KEYED, keys_file
from .sketches import sketch_table, sketches
from .tables import matrix, numbers, read_arrow, write_arrow
from .urls import url_duplicates


def index_unit(unit: Unit, folder: Path, config: dict[str, Any]) -> UnitReport:
    """Worker: sketches of the unit's documents that stay. config: extract, urls, dedup, generation."""
    signed = read_arrow(folder / "signatures" / f"{unit.name}.arrow")
    doc = numbers(signed["doc"])
    rows = np.flatnonzero(kept_of(folder, doc, numbers(signed["doc_low"]), config["urls"]))
    rows = rows[np.argsort(doc[rows])]
    path = folder / "index" / "sketches" / config["generation"] / f"{unit.name}.arrow"
    write_arrow(path, sketch_table(signed, rows, sketches(unit.name, doc[rows], config)))
    return UnitReport(name=unit.name, files=[file_entry(folder, path, len(rows))], counters={"documents": len(rows)})


def index_rows(unit: str, folder: Path, urls: str | None, partitions: int) -> pa.Table:
    """What of a unit is shuffled: all keys of who stays, and for each text that left the one that stays for it."""
    signed = read_arrow(folder / "signatures" / f"{unit}.arrow")
    doc, low = numbers(signed["doc"]), numbers(signed["doc_low"])
    survivor = doc.copy()
    fates = fates_of(folder, doc, low, urls)
    place = np.flatnonzero(np.isin(doc, numbers(fates["doc"])))
    kept = kept_of(folder, doc, low, urls)
    survivor[place] = np.where(kept[place], doc[place], numbers(fates["survivor"]))
    bands = matrix(signed["bands"])
    shown = kept & (numbers(signed["shingles"]) > 0)
    compared = ~among(doc, url_duplicates(urls))
    keys = np.concatenate([of_kind(bands[shown].ravel(), MINHASH), exact_keys(signed)[compared]])
    docs = np.concatenate([np.repeat(doc[shown], bands.shape[1]), survivor[compared]])
    keys, docs = _distinct(keys, docs)
    return pa.Table.from_pydict({"key": keys, "doc": docs, "partition": partition_of(keys, partitions)})


def meet_keys(number: int, rows: dict[str, np.ndarray], folder: Path, old: str | None) -> dict[str, Any]:
    """Write one partition of the new index, with the rows of the old one."""
    keys, docs = [rows["key"]], [rows["doc"]]
    if old is not None:
        before = read_arrow(keys_file(Path(old), number))
        keys.append(numbers(before["key"]))
        docs.append(numbers(before["doc"]))
    key, doc = _distinct(np.concatenate(keys), np.concatenate(docs))
    write_arrow(folder / f"part-{number:05d}.arrow", pa.Table.from_pydict({"key": key, "doc": doc}, schema=KEYED))
    return {"partition": number, "rows": len(key)}


def _distinct(keys: np.ndarray, docs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each row once, sorted."""
    order = np.lexsort((docs, keys))
    keys, docs = keys[order], docs[order]
    new = np.ones(len(keys), dtype=bool)
    new[1:] = (keys[1:] != keys[:-1]) | (docs[1:] != docs[:-1])
    return keys[new], docs[new]
