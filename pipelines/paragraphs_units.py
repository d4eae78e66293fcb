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
import pyarrow.parquet as pq

from ..core.cuts import cut, merge
from ..core.documents import kept_batches, strings, uncut_batches
from ..core.files import atomic_path, write_text
from ..core.manifest import file_entry
from ..core.schema import CUTS, DROPPED
from ..core.settings_cleaning import Paragraphs
from ..core.units import Unit, UnitReport
from ..dedup.tables import numbers, read_arrow, write_arrow
from .paragraphs import add_counts, count_documents, is_frequent, lines_of, normalise, repeated

SHORT = "paragraphs_short"
SHOWN = 100
_IDENTITY = ["doc_id", "url", "source", "origin_file", "origin_offset"]
_FOLD = 1 << 22  # rows that counting holds before it adds up
_LEAST_PARTS, _MOST_PARTS = 8, 4096
_PART_LINES = 1 << 24  # counts in a part: 0.3 GB of columns, and some copies while they are sorted

COUNT = pa.schema([pa.field("hash", pa.uint64(), False), pa.field("documents", pa.int64(), False)])
FREQUENT = pa.schema([*COUNT, pa.field("unit", pa.int32(), False)])  # the first unit, by its place, with this line


def count_unit(unit: Unit, folder: Path, config: dict[str, Any]) -> UnitReport:
    """Pass 1, in the folder counts. config: extract, stages: folders of the documents to read."""
    hashes, counts = [np.zeros(0, dtype=np.uint64)], [np.zeros(0, dtype=np.int64)]
    documents = held = 0
    for batch in kept_batches(unit.name, Path(config["extract"]), _paths(config), ["text"]):
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


def parts_for(lines: int) -> int:
    """In how many parts the counts of all units are added up: a worker's memory does not grow with the corpus."""
    return min(max(_LEAST_PARTS, -(-lines // _PART_LINES)), _MOST_PARTS)


def add_part(unit: Unit, folder: Path, config: dict[str, Any]) -> UnitReport:
    """Pass 2, in the folder frequent. Memory: a part of the counts.

    spec: part, its number; config: counts, the folder; units, names in order; parts, how many; max_documents.
    """
    low, high = (_border(unit.spec["part"] + more, config["parts"]) for more in (0, 1))
    hashes, counts, owners = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)], [np.zeros(0, np.int32)]
    for place, name in enumerate(config["units"]):
        table = read_arrow(Path(config["counts"]) / f"{name}.arrow")
        column = numbers(table["hash"])
        first = int(np.searchsorted(column, np.uint64(low)))
        last = int(np.searchsorted(column, np.uint64(high))) if high < 1 << 64 else len(column)
        hashes.append(column[first:last])
        counts.append(numbers(table["documents"])[first:last])
        owners.append(np.full(last - first, place, dtype=np.int32))
    lines, number, first_at = add_counts(np.concatenate(hashes), np.concatenate(counts))
    often = number > config["max_documents"]
    owner = np.concatenate(owners)[first_at[often]]
    table = pa.Table.from_pydict({"hash": lines[often], "documents": number[often], "unit": owner}, schema=FREQUENT)
    path = folder / f"{unit.name}.arrow"
    write_arrow(path, table)
    counters = {"paragraphs": len(lines), "paragraphs_frequent": table.num_rows}
    return UnitReport(name=unit.name, files=[file_entry(folder, path, table.num_rows)], counters=counters)


def _border(part: int, parts: int) -> int:
    return (part << 64) // parts


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
        for batch in kept_batches(config["units"][place], Path(config["extract"]), _paths(config), columns):
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
    cuts: list[dict[str, Any]] = []
    dropped: list[dict[str, Any]] = []
    counters = dict.fromkeys(("documents_in", "documents_cut", "paragraphs_removed", "chars_removed"), 0)
    for batch in uncut_batches(unit.name, Path(config["extract"]), _paths(config), [*_IDENTITY, "text"]):
        counters["documents_in"] += batch.num_rows
        texts = strings(batch["text"])
        lines = lines_of(texts)
        often = is_frequent(lines.hashes, frequent)
        hits = np.add.reduceat(np.append(often, False).astype(np.int64), lines.offsets[:-1])
        for number in np.flatnonzero(hits).tolist():
            mine = often[lines.offsets[number] : lines.offsets[number + 1]]
            spans, removed = repeated(texts[number], lines.of(number), mine, settings.min_paragraph_chars)
            if not spans:
                continue
            left = len(cut(texts[number], spans))
            if left < settings.min_chars:
                dropped.append(_ledger_row(batch, number, left))
                continue
            pairs = [{"start": start, "stop": stop} for start, stop in merge(spans)]
            cuts.append({"doc_id": batch["doc_id"][number].as_py(), "spans": pairs})
            counters["documents_cut"] += 1
            counters["paragraphs_removed"] += removed
            counters["chars_removed"] += len(texts[number]) - left
    counters |= {"documents": counters["documents_in"] - len(dropped), "dropped": len(dropped)}
    counters |= {f"dropped.{SHORT}": len(dropped)} if dropped else {}
    files = []
    for kind, rows, schema in (("cuts", cuts, CUTS), ("dropped", dropped, DROPPED)):
        path = folder / kind / f"{unit.name}.parquet"
        with atomic_path(path) as partial:
            pq.write_table(pa.Table.from_pylist(rows, schema=schema), partial, compression="zstd")
        files.append(file_entry(folder, path, len(rows)))
    return UnitReport(name=unit.name, files=files, counters=counters)


def _ledger_row(batch: pa.RecordBatch, number: int, left: int) -> dict[str, Any]:
    identity = {name: batch[name][number].as_py() for name in _IDENTITY}
    return identity | {"stage": "paragraphs", "reason": SHORT, "value": float(left), "detail": ""}


def _parts(folder: Path, parts: int) -> list[Path]:
    return [folder / "frequent" / f"{part_name(number)}.arrow" for number in range(parts)]


def part_name(number: int) -> str:
    return f"part-{number:05d}"


def _paths(config: dict[str, Any]) -> Sequence[Path]:
    return [Path(one) for one in config["stages"]]
