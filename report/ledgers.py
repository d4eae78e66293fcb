"""What left at which step and why, from the ledgers: counts of all rows, and a few rows of each reason with their text.

Of the rows that are only counted, stage and reason are read, a batch at a time; the first rows of a reason, one from
each of its first units, are its sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..core.documents import strings
from ..core.manifest import Manifest
from .words import excerpt

SAMPLES = 2  # of a reason
CHARACTERS = 700  # of a text
BATCH_ROWS = 1 << 16
_SHOWN = ("doc_id", "url", "source", "stage", "reason", "value", "detail", "origin_file", "origin_offset")

Texts = Callable[[str, set[str]], Mapping[str, Mapping[str, str]]]  # (unit, doc_ids) -> doc_id: {title, text}


@dataclass
class Sample:
    """A document that left: its ledger row, and the beginning of its text where it is known."""

    doc_id: str
    url: str
    source: str
    value: float | None
    detail: str
    origin: str
    title: str = ""
    text: str = ""


@dataclass
class Reason:
    """Why documents left, in the ledger's word, and how many."""

    reason: str
    count: int
    samples: list[Sample] = field(default_factory=list)


def read_reasons(folder: Path, manifest: Manifest, texts: Texts) -> dict[str, list[Reason]]:
    """The reasons of a stage's ledger, by step, the commonest first. `texts` finds the texts of the sample."""
    counts: dict[tuple[str, str], int] = {}
    places: dict[tuple[str, str], list[tuple[Path, int]]] = {}
    for path in manifest.paths(folder, "dropped/"):
        for key, number, row in _count(path):
            counts[key] = counts.get(key, 0) + number
            known = places.setdefault(key, [])
            if len(known) < SAMPLES and all(other != path for other, _ in known):
                known.append((path, row))
    rows = _rows([place for some in places.values() for place in some])
    samples = {place: _sample(row) for place, row in rows.items()}
    _add_texts(samples, texts)
    found: dict[str, list[Reason]] = {}
    for (step, reason), number in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        found.setdefault(step, []).append(Reason(reason, number, [samples[one] for one in places[step, reason]]))
    return found


def stored_texts(extract: Path) -> Texts:
    """Texts of documents that the stage `extract` kept. Reads the row groups in which they stand."""

    def find(unit: str, wanted: set[str]) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = {}
        values = pa.array(sorted(wanted), type=pa.string())
        with pq.ParquetFile(extract / "documents" / f"{unit}.parquet") as file:
            for group in range(file.num_row_groups):
                ids = file.read_row_group(group, columns=["doc_id"])["doc_id"]
                if not pc.any(here := pc.is_in(ids, value_set=values)).as_py():
                    continue
                rows = file.read_row_group(group, columns=["doc_id", "title", "text"]).filter(here)
                for one, title, text in zip(*(strings(rows[name]) for name in rows.column_names), strict=True):
                    found[one] = {"title": title, "text": text}
                if len(found) == len(wanted):
                    break
        return found

    return find


def _count(path: Path) -> Iterable[tuple[tuple[str, str], int, int]]:
    """((step, reason), how many, the first one's row) of the batches of a ledger's file."""
    before = 0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=["stage", "reason"]):
            joined = pc.binary_join_element_wise(batch["stage"], batch["reason"], pa.scalar("\0"))  # pyright: ignore
            both = joined.dictionary_encode()
            codes = both.indices.to_numpy(zero_copy_only=False)
            for code, word in enumerate(both.dictionary.to_pylist()):
                here = codes == code
                step, _, reason = word.partition("\0")
                yield (step, reason), int(here.sum()), before + int(np.argmax(here))
            before += batch.num_rows


def _rows(places: Iterable[tuple[Path, int]]) -> dict[tuple[Path, int], dict[str, Any]]:
    """Ledger rows by file and number; row groups without one are not read."""
    wanted: dict[Path, list[int]] = {}
    for path, row in sorted(set(places)):
        wanted.setdefault(path, []).append(row)
    found = {}
    for path, numbers in wanted.items():
        with pq.ParquetFile(path) as file:
            begin = 0
            for group in range(file.num_row_groups):
                end = begin + file.metadata.row_group(group).num_rows
                if here := [one for one in numbers if begin <= one < end]:
                    table = file.read_row_group(group, columns=list(_SHOWN)).take([one - begin for one in here])
                    found |= {(path, one): row for one, row in zip(here, table.to_pylist(), strict=True)}
                begin = end
    return found


def _sample(row: Mapping[str, Any]) -> Sample:
    origin = f"{row['origin_file']} at {row['origin_offset']}"
    return Sample(row["doc_id"], row["url"], row["source"], row["value"], row["detail"], origin)


def _add_texts(samples: Mapping[tuple[Path, int], Sample], texts: Texts) -> None:
    by_unit: dict[str, dict[str, list[Sample]]] = {}
    for (path, _), one in samples.items():
        by_unit.setdefault(path.stem, {}).setdefault(one.doc_id, []).append(one)
    for unit, mine in by_unit.items():
        for identity, known in texts(unit, set(mine)).items():
            for one in mine.get(identity, ()):
                one.title, one.text = known["title"], excerpt(known["text"], CHARACTERS)
