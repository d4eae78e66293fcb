"""What a stage takes out of a unit's documents, and where it writes that: cuts, and a ledger of those left too short.

    cuts/UNIT.parquet      CUTS
    dropped/UNIT.parquet   DROPPED

Counters: documents_in = documents + dropped, dropped.REASON, documents_cut, chars_removed (of documents that stay).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .cuts import CutText, Span, cut, merge
from .documents import read_cuts, strings, uncut_batches
from .files import atomic_path
from .manifest import FileEntry, file_entry
from .schema import CUTS, DROPPED
from .units import UnitReport

IDENTITY = ["doc_id", "url", "source", "origin_file", "origin_offset"]


class Removals:
    """Collects one unit's cuts for a stage. extract, stages: the folders of the documents that the stage reads."""

    def __init__(self, unit: str, stage: str, extract: Path, stages: Sequence[Path], min_chars: int) -> None:
        self._unit, self._stage, self._reason, self._least = unit, stage, f"{stage}_short", min_chars
        self._extract, self._stages = extract, stages
        self._earlier = read_cuts(unit, stages)
        self._cuts: list[dict[str, Any]] = []
        self._dropped: list[dict[str, Any]] = []
        self.counters: dict[str, int] = dict.fromkeys(("documents_in", "documents_cut", "chars_removed"), 0)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The documents with their texts as extracted."""
        for batch in uncut_batches(self._unit, self._extract, self._stages, [*IDENTITY, "text"]):
            self.counters["documents_in"] += batch.num_rows
            yield batch

    def texts(self, batch: pa.RecordBatch) -> list[CutText]:
        """The batch's texts without what earlier stages cut."""
        both = zip(strings(batch["doc_id"]), strings(batch["text"]), strict=True)
        return [CutText(text, self._earlier.get(one, ())) for one, text in both]

    def take(self, batch: pa.RecordBatch, number: int, spans: Iterable[Span], keep: bool = False) -> bool:
        """Cut these spans of the extracted text out of one document. False: too little is left, and it is dropped,
        except when it must be kept.
        """
        [row] = batch.select(IDENTITY).slice(number, 1).to_pylist()
        [text] = strings(batch["text"].slice(number, 1))
        earlier, merged = self._earlier.get(row["doc_id"], []), merge(spans)
        left = len(cut(text, [*earlier, *merged]))
        if left < self._least and not keep:
            why = {"stage": self._stage, "reason": self._reason, "value": float(left), "detail": ""}
            self._dropped.append(row | why)
            return False
        self._cuts.append({"doc_id": row["doc_id"], "spans": span_rows(merged)})
        self.counters["documents_cut"] += 1
        self.counters["chars_removed"] += len(cut(text, earlier)) - left
        return True

    def report(self, folder: Path, more: Iterable[FileEntry] = ()) -> UnitReport:
        """Write both files; `more`: what the stage wrote for this unit besides."""
        out = len(self._dropped)
        self.counters |= {"documents": self.counters["documents_in"] - out, "dropped": out}
        self.counters |= {f"dropped.{self._reason}": out} if out else {}
        files = [
            write_rows(folder, f"{kind}/{self._unit}.parquet", rows, schema)
            for kind, rows, schema in (("cuts", self._cuts, CUTS), ("dropped", self._dropped, DROPPED))
        ]
        return UnitReport(name=self._unit, files=[*files, *more], counters=self.counters)


def span_rows(spans: Iterable[Span]) -> list[dict[str, int]]:
    """Spans as the column `spans` of CUTS has them."""
    return [{"start": start, "stop": stop} for start, stop in spans]


def write_rows(folder: Path, name: str, rows: list[dict[str, Any]], schema: pa.Schema) -> FileEntry:
    """Write a small table atomically."""
    with atomic_path(folder / name) as partial:
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), partial, compression="zstd")
    return file_entry(folder, folder / name, len(rows))
