"""What the workers of the stage `paragraphs` do. No Ray here: plain functions over files.

    1  count_unit    counts/UNIT.arrow        COUNT: each line of the unit, and how many of its documents have it
    2  add_part      frequent/part-00000.arrow    FREQUENT, of the hashes in one range: the lines above the limit
    3  show          frequent.npy             the hashes of all parts, which the workers of pass 4 map
                     frequent.jsonl           the most frequent lines, to be read
    4  cut_unit      cuts/UNIT.parquet (CUTS), dropped/UNIT.parquet (DROPPED)

The counts of a unit are sorted by hash, and a part takes one range of hashes from each unit's file: a shuffle by files,
whose parts one behind the other are sorted. Workers map files; what is above the limit is a small part of all lines.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..core.documents import kept_batches, strings
from ..core.files import atomic_path, write_text
from ..core.manifest import file_entry
from ..core.remote_path import path_of
from ..core.removals import Removals
from ..core.settings_cleaning import Paragraphs
from ..core.units import Unit, UnitReport
from ..dedup.hash_parts import add_counts, among, part_name, part_slice
from ..dedup.tables import numbers, read_arrow, write_arrow
from .paragraphs import count_documents, lines_of, normalise, repeated

SHOWN = 100
_FOLD = 1 << 22  # rows that counting holds before it adds up

COUNT = pa.schema([pa.field("hash", pa.uint64(), False), pa.field("documents", pa.int64(), False)])
FREQUENT = pa.schema([*COUNT, pa.field("unit", pa.int32(), False)])  # the first unit, by its place, with this line


def count_unit(unit: Unit, folder: Path, config: dict[str, Any]) -> UnitReport:
    """Pass 1, in the folder counts. config: extract, stages: folders of the documents to read."""
    hashes, counts = [np.zeros(0, dtype=np.uint64)], [np.zeros(0, dtype=np.int64)]
    documents = held = 0
    for batch in kept_batches(unit.name, path_of(config["extract"]), _paths(config), ["text"]):
        lines, number = count_documents(lines_of(strings(batch["text"])))
        hashes.append(lines)
        counts.append(number)
        documents += batch.num_rows
        held += len(lines)
        if held > _FOLD:
            hashes, counts = _folded(hashes, counts)
            held = 0
    [lines], [number] = _folded(hashes, counts)
    path = folder / f"{unit.name}.arrow"
    write_arrow(path, pa.Table.from_pydict({"hash": lines, "documents": number}, schema=COUNT))
    counters = {"documents": documents, "lines": len(lines)}
    return UnitReport(name=unit.name, files=[file_entry(folder, path, len(lines))], counters=counters)


def _folded(hashes: list[np.ndarray], counts: list[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    lines, number, _ = add_counts(np.concatenate(hashes), np.concatenate(counts))
    return [lines], [number]


def add_part(unit: Unit, folder: Path, config: dict[str, Any]) -> UnitReport:
    """Pass 2, in the folder frequent. Memory: a part of the counts.

    spec: part, its number; config: counts, the folder; units, names in order; parts, how many; max_documents.
    """
    hashes, counts, owners = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)], [np.zeros(0, np.int32)]
    for place, name in enumerate(config["units"]):
        table = read_arrow(path_of(config["counts"]) / f"{name}.arrow")
        column = numbers(table["hash"])
        mine = part_slice(column, unit.spec["part"], config["parts"])
        hashes.append(column[mine].copy())  # else every unit's file stays mapped, and a process cannot map so many
        counts.append(numbers(table["documents"])[mine].copy())
        owners.append(np.full(len(hashes[-1]), place, dtype=np.int32))
    lines, number, first_at = add_counts(np.concatenate(hashes), np.concatenate(counts))
    often = number > config["max_documents"]
    owner = np.concatenate(owners)[first_at[often]]
    table = pa.Table.from_pydict({"hash": lines[often], "documents": number[often], "unit": owner}, schema=FREQUENT)
    path = folder / f"{unit.name}.arrow"
    write_arrow(path, table)
    counters = {"paragraphs": len(lines), "paragraphs_frequent": table.num_rows}
    return UnitReport(name=unit.name, files=[file_entry(folder, path, table.num_rows)], counters=counters)


def show(unit: Unit, folder: Path, config: dict[str, Any]) -> UnitReport:
    """Pass 3: frequent.npy; frequent.jsonl, {documents, doc_id, url, paragraph} a line, of the SHOWN most frequent.

    config: units, parts.
    """
    table = pa.concat_tables([FREQUENT.empty_table(), *(read_arrow(path) for path in _parts(folder, config["parts"]))])
    hashes = folder / "frequent.npy"
    with atomic_path(hashes) as partial, partial.open("wb") as handle:
        np.save(handle, numbers(table["hash"]))
    top = table.take(np.lexsort((numbers(table["hash"]), -numbers(table["documents"])))[:SHOWN])
    rows = {row["hash"]: row for row in top.to_pylist()}
    for place in sorted({row["unit"] for row in rows.values()}):
        wanted = {digest for digest, row in rows.items() if row["unit"] == place}
        columns = ["doc_id", "url", "text"]
        for batch in kept_batches(config["units"][place], path_of(config["extract"]), _paths(config), columns):
            for found in _examples(batch, wanted):
                rows[found.pop("hash")].update(found)
            if not wanted:
                break
    keys = ("documents", "doc_id", "url", "paragraph")
    text = "".join(json.dumps({key: row[key] for key in keys}, ensure_ascii=False) + "\n" for row in rows.values())
    path = folder / "frequent.jsonl"
    write_text(path, text)
    files = [file_entry(folder, hashes, table.num_rows), file_entry(folder, path, len(rows))]
    return UnitReport(name=unit.name, files=files, counters={})


def _examples(batch: pa.RecordBatch, wanted: set[int]) -> list[dict[str, Any]]:
    """The batch's first document for each of the wanted lines, which are then no longer wanted."""
    texts = strings(batch["text"])
    lines = lines_of(texts)
    places = np.flatnonzero(np.isin(lines.hashes, np.array(sorted(wanted), dtype=np.uint64)))
    found = []
    for place in places.tolist():
        digest = int(lines.hashes[place])
        if digest in wanted:
            wanted.discard(digest)
            text = int(np.searchsorted(lines.offsets, place, side="right")) - 1
            line = normalise(texts[text])[place - int(lines.offsets[text])]
            ids = {name: batch[name][text].as_py() for name in ("doc_id", "url")}
            found.append({"hash": digest, "paragraph": line, **ids})
    return found


def cut_unit(unit: Unit, folder: Path, config: dict[str, Any]) -> UnitReport:
    """Pass 4. config: extract, stages; paragraphs: the recipe's section."""
    settings = Paragraphs.model_validate(config["paragraphs"])
    frequent = np.load(folder / "frequent.npy", mmap_mode="r")
    removals = Removals(unit.name, "paragraphs", path_of(config["extract"]), _paths(config), settings.min_chars)
    removals.counters["paragraphs_removed"] = 0
    for batch in removals.batches():
        texts = removals.texts(batch)
        lines = lines_of([text.text for text in texts])
        often = among(lines.hashes, frequent)
        hits = np.add.reduceat(np.append(often, False).astype(np.int64), lines.offsets[:-1])
        for number in np.flatnonzero(hits).tolist():
            mine = often[lines.offsets[number] : lines.offsets[number + 1]]
            spans, removed = repeated(texts[number].text, lines.of(number), mine, settings.min_paragraph_chars)
            if spans and removals.take(batch, number, [texts[number].extracted(*span) for span in spans]):
                removals.counters["paragraphs_removed"] += removed
    return removals.report(folder)


def _parts(folder: Path, parts: int) -> list[Path]:
    return [folder / "frequent" / f"{part_name(number)}.arrow" for number in range(parts)]


def _paths(config: dict[str, Any]) -> Sequence[Path]:
    return [path_of(one) for one in config["stages"]]
