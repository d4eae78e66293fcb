"""Which removed pairs the gate of precision compares, and which clusters were too large: from fates, part by part.

fates/part-00000.arrow    ->  samples/drawn/part-00000.arrow (DRAWN), samples/drawn/part-00000.json
all of these, one by one  ->  sample.json, quarantined.json

A pair can be compared when both texts are of this run. An index has no texts: pairs whose survivor stands in one are
counted, not drawn. What is drawn depends on the documents alone, not on parts: those whose hashes are the smallest.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..core.files import write_json
from ..core.manifest import FileEntry, file_entry
from ..core.units import Unit, UnitReport
from .bands import among
from .hashing import mix
from .tables import MINHASH_DUPLICATE, QUARANTINED, join_ids, number, numbers, read_arrow, write_arrow

DRAWN = pa.schema([number("hash"), number("doc"), number("survivor")])

_SHOWN = 10
_SALT = np.uint64(0xA3EC4E93B5E1F3C7)


def draw_part(unit: Unit, folder: Path, config: dict[str, Any]) -> UnitReport:
    """Worker: what a part of fates gives to the samples. config: sample, the number of pairs to compare in all."""
    table = read_arrow(folder / "fates" / f"{unit.name}.arrow")
    doc, survivor, reason = (numbers(table[name]) for name in ("doc", "survivor", "reason"))
    near = np.flatnonzero(reason == MINHASH_DUPLICATE)
    here = near[among(survivor[near], doc)]  # one of this run has a row beside those that leave for it
    columns = _smallest((mix(doc[here] ^ _SALT), doc[here], survivor[here]), config["sample"])
    path = folder / "samples" / "drawn" / f"{unit.name}.arrow"
    write_arrow(path, pa.Table.from_pydict(dict(zip(DRAWN.names, columns, strict=True)), schema=DRAWN))
    giants = _giants(table.filter(pa.array(reason == QUARANTINED)))
    write_json(path.with_suffix(".json"), giants)
    files = [file_entry(folder, path, len(columns[0])), file_entry(folder, path.with_suffix(".json"), len(giants))]
    counters = {"removed": len(near), "comparable": len(here), "giant_clusters": len(giants)}
    return UnitReport(name=unit.name, files=files, counters=counters)


def join_drawn(units: Sequence[Unit], folder: Path, sample: int) -> FileEntry:
    """Write sample.json, pairs to compare, and quarantined.json, which is returned. Memory: two samples, all giants."""
    chosen = tuple(np.zeros(0, dtype=np.uint64) for _ in DRAWN)
    giants: list[dict[str, Any]] = []
    for unit in units:
        path = folder / "samples" / "drawn" / f"{unit.name}.arrow"
        table = read_arrow(path)
        more = (numbers(table[name]) for name in DRAWN.names)
        chosen = _smallest(tuple(np.concatenate(both) for both in zip(chosen, more, strict=True)), sample)
        giants += json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    write_json(folder / "sample.json", np.stack(chosen[1:], axis=1).tolist())
    target = folder / "quarantined.json"
    write_json(target, sorted(giants, key=lambda one: (-one["members"], one["best"])))
    return file_entry(folder, target, len(giants))


def _smallest(columns: tuple[np.ndarray, ...], count: int) -> tuple[np.ndarray, ...]:
    """The rows whose first numbers are the smallest, in their order."""
    order = np.argsort(columns[0], kind="stable")[:count]
    return tuple(column[order] for column in columns)


def _giants(rows: pa.Table) -> list[dict[str, Any]]:
    """Quarantined clusters: the best member's doc_id, how many of this run there are, and some of them."""
    found: dict[str, dict[str, Any]] = {}
    best = join_ids(numbers(rows["survivor"]), numbers(rows["survivor_low"]))
    for name, doc in zip(best, numbers(rows["doc"]).tolist(), strict=True):
        one = found.setdefault(name, {"best": name, "members": 0, "first_halves_of_doc_ids": []})
        one["members"] += 1
        if len(one["first_halves_of_doc_ids"]) < _SHOWN:
            one["first_halves_of_doc_ids"].append(f"{doc:016x}")
    return list(found.values())
