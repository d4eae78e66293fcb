"""What the workers of the stage `spans` do before anything is cut. No Ray here: plain functions over files.

    1  anchor_unit      anchors/UNIT.arrow            ANCHOR: the unit's anchors, sorted, and whether two places have it
    2  repeat_anchors   repeated/part-00000.arrow     REPEATED, of one range of hashes: anchors of two places or more
    3  window_unit      windows/UNIT.arrow            PLACE, sorted: every window of the unit with such an anchor
    4  first_places     places/part-00000.arrow       PLACE, of one range of hashes: the first place of repeated windows
    5  cut_unit         spans_cut.py

Passes 2 and 4 read one range of hashes from each unit's file: hash_parts.py. A window is repeated when two places that
do not overlap have it: in 200 times the same word nothing repeats but the first 50, so that these stay.
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
from ..core.units import Unit, UnitReport
from .hash_parts import add_counts, among, part_name, part_slice
from .shingles import words
from .spans import anchors, window_hashes, window_offsets
from .tables import numbers, read_arrow, split_ids, write_arrow

_FOLD = 1 << 22  # anchors that pass 1 holds before it adds up

ANCHOR = pa.schema([pa.field("hash", pa.uint64(), False), pa.field("places", pa.uint8(), False)])  # 2: or more
REPEATED = pa.schema([ANCHOR.field("hash")])
PLACE = pa.schema(
    [
        pa.field("high", pa.uint64(), False),  # the window's hash
        pa.field("low", pa.uint64(), False),
        pa.field("doc", pa.uint64(), False),  # the first 64 bits of the doc_id, which are its own: see dedup_stage.py
        pa.field("position", pa.uint32(), False),  # in words
    ]
)
Columns = dict[str, np.ndarray]


def anchor_unit(unit: Unit, folder: Path, config: dict[str, Any]) -> UnitReport:
    """Pass 1, in the folder anchors. config: extract, stages: folders of the documents to read; length, in words."""
    hashes, counts = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
    counters = {"documents": 0, "words": 0}
    held = 0
    for _, found, offsets in _texts(unit, config):
        least, new = anchors(found, offsets, config["length"])
        hashes.append(least[new])
        counts.append(np.ones(len(hashes[-1]), np.int64))
        counters["documents"] += len(offsets) - 1
        counters["words"] += len(found)
        held += len(hashes[-1])
        if held > _FOLD:
            one, number, _ = add_counts(np.concatenate(hashes), np.concatenate(counts))
            hashes, counts, held = [one], [number], 0
    one, number, _ = add_counts(np.concatenate(hashes), np.concatenate(counts))
    table = pa.Table.from_pydict({"hash": one, "places": np.minimum(number, 2).astype(np.uint8)}, schema=ANCHOR)
    return _written(unit, folder, table, counters | {"anchors": len(one)})


def repeat_anchors(unit: Unit, folder: Path, config: dict[str, Any]) -> UnitReport:
    """Pass 2, in the folder repeated. spec: part; config: anchors, the folder; units, names; parts, how many."""
    hashes, counts = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
    for name in config["units"]:
        table = read_arrow(path_of(config["anchors"]) / f"{name}.arrow")
        column = numbers(table["hash"])
        mine = part_slice(column, unit.spec["part"], config["parts"])
        hashes.append(column[mine].copy())  # else every unit's file stays mapped, and a process cannot map so many
        counts.append(numbers(table["places"])[mine].astype(np.int64))
    one, number, _ = add_counts(np.concatenate(hashes), np.concatenate(counts))
    table = pa.Table.from_pydict({"hash": one[number > 1]}, schema=REPEATED)
    return _written(unit, folder, table, {"anchors": len(one), "anchors_repeated": table.num_rows})


def window_unit(unit: Unit, folder: Path, config: dict[str, Any]) -> UnitReport:
    """Pass 3, in the folder windows. Memory: the unit's windows with repeated anchors, 28 bytes each, to sort them.

    config: as in pass 1; anchors and repeated, folders; parts, how many of `repeated`.
    """
    own = numbers(read_arrow(path_of(config["anchors"]) / f"{unit.name}.arrow")["hash"])
    repeated = np.concatenate([own[mask] for mask in _met(own, path_of(config["repeated"]), config["parts"])])
    columns: dict[str, list[np.ndarray]] = {name: [PLACE.empty_table()[name].to_numpy()] for name in PLACE.names}
    documents = 0
    for ids, found, offsets in _texts(unit, config):
        documents += len(ids)
        wanted = np.flatnonzero(among(anchors(found, offsets, config["length"])[0], repeated))
        if not len(wanted):
            continue
        high, low = window_hashes(found, offsets, config["length"])
        begins = window_offsets(offsets, config["length"])
        texts = np.searchsorted(begins, wanted, side="right") - 1
        values = (high[wanted], low[wanted], split_ids(ids)[0][texts], (wanted - begins[texts]).astype(np.uint32))
        for name, value in zip(PLACE.names, values, strict=True):
            columns[name].append(value)
    table = _sorted({name: np.concatenate(parts) for name, parts in columns.items()})
    counters = {"documents": documents, "windows": len(table["high"])}
    return _written(unit, folder, pa.Table.from_pydict(table, schema=PLACE), counters)


def first_places(unit: Unit, folder: Path, config: dict[str, Any]) -> UnitReport:
    """Pass 4, in the folder places. Memory: of each unit, the first and the last place of the part's windows.

    spec: part; config: windows, the folder; units, names; parts, how many; length.
    """
    taken: dict[str, list[np.ndarray]] = {name: [PLACE.empty_table()[name].to_numpy()] for name in PLACE.names}
    for name in config["units"]:
        table = columns_of(path_of(config["windows"]) / f"{name}.arrow")
        mine = part_slice(table["high"], unit.spec["part"], config["parts"])
        table = {name: column[mine] for name, column in table.items()}
        first, last = _groups(table)
        ends = np.union1d(first, last)
        for column in PLACE.names:
            taken[column].append(table[column][ends])
    table = _sorted({name: np.concatenate(parts) for name, parts in taken.items()})
    first, last = _groups(table)
    apart = table["position"][last].astype(np.int64) - table["position"][first] >= config["length"]
    repeated = first[(table["doc"][first] != table["doc"][last]) | apart]
    out = pa.Table.from_pydict({name: column[repeated] for name, column in table.items()}, schema=PLACE)
    return _written(unit, folder, out, {"windows": len(first), "windows_repeated": out.num_rows})


def columns_of(path: Path) -> Columns:
    """A file of PLACE, mapped."""
    table = read_arrow(path)
    return {name: numbers(table[name]) for name in PLACE.names}


def _texts(unit: Unit, config: dict[str, Any]) -> Iterator[tuple[list[str], np.ndarray, np.ndarray]]:
    """doc_ids, words and their offsets, batch by batch."""
    folders = path_of(config["extract"]), [path_of(one) for one in config["stages"]]
    for batch in kept_batches(unit.name, *folders, ["doc_id", "text"]):
        yield strings(batch["doc_id"]), *words(strings(batch["text"]))


def _met(own: np.ndarray, folder: Path, parts: int) -> Iterator[np.ndarray]:
    """For each part, which of the sorted hashes stand in it, as places."""
    for part in range(parts):
        mine = part_slice(own, part, parts)
        those = numbers(read_arrow(folder / f"{part_name(part)}.arrow")["hash"])
        yield np.flatnonzero(among(own[mine], those)) + mine.start


def _sorted(table: Columns) -> Columns:
    order = np.lexsort([table[name] for name in reversed(PLACE.names)])
    return {name: column[order] for name, column in table.items()}


def _groups(table: Columns) -> tuple[np.ndarray, np.ndarray]:
    """First and last rows of equal windows, of sorted columns."""
    high, low = table["high"], table["low"]
    change = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
    if not len(high):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    return np.flatnonzero(np.append(True, change)), np.flatnonzero(np.append(change, True))


def _written(unit: Unit, folder: Path, table: pa.Table, counters: dict[str, int]) -> UnitReport:
    path = folder / f"{unit.name}.arrow"
    write_arrow(path, table)
    return UnitReport(name=unit.name, files=[file_entry(folder, path, table.num_rows)], counters=counters)
