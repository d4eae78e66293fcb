"""The last pass of the stage `spans`: the words that repeated windows cover, as cuts in characters.

    spans/UNIT.parquet                           SPAN: every repeated span, also of documents that are dropped
    cuts/UNIT.parquet, dropped/UNIT.parquet      see core/removals.py; no rows with action: count

With `keep: first`, the copy at the least (doc_id, position) stays, and the words of all other copies that do not
overlap it go. So each word that goes stands at an earlier place, which stays or stands itself at one earlier still: one
copy of it is left. A document that holds such first copies is never dropped for being too short.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..core.compiled import compiled
from ..core.cuts import CutText, Span
from ..core.documents import strings
from ..core.remote_path import path_of
from ..core.removals import Removals, write_rows
from ..core.settings_cleaning import Spans
from ..core.units import Unit, UnitReport
from .hash_parts import part_name, part_slice
from .shingles import folding_table, word_places
from .spans import runs
from .spans_units import Columns, columns_of
from .tables import split_ids

SPAN = pa.schema(
    [
        pa.field("doc_id", pa.string(), False),
        pa.field("start", pa.int64(), False),  # in characters of the extracted text, from word to word
        pa.field("stop", pa.int64(), False),
        pa.field("words", pa.int64(), False),
        pa.field("first", pa.string(), False),  # the beginning of the doc_id that has its first words first
    ]
)


def cut_unit(unit: Unit, folder: Path, config: dict[str, Any]) -> UnitReport:
    """Pass 5. config: extract, stages; windows and places, folders; parts, how many; spans: the recipe's section."""
    settings = Spans.model_validate(config["spans"])
    found, holders = _repeated(unit.name, config, settings)
    folders = path_of(config["extract"]), [path_of(one) for one in config["stages"]]
    removals = Removals(unit.name, "spans", *folders, settings.min_chars)
    rows: list[dict[str, Any]] = []
    with_spans = 0
    for batch in removals.batches():
        docs = split_ids(strings(batch["doc_id"]))[0]
        begins, ends = (np.searchsorted(found["doc"], docs, side=side) for side in ("left", "right"))
        for number in np.flatnonzero(ends > begins).tolist():
            [text] = removals.texts(batch.slice(number, 1))
            mine = {name: column[begins[number] : ends[number]] for name, column in found.items()}
            spans = _spans(text, mine, settings.min_tokens)
            rows += [{"doc_id": batch["doc_id"][number].as_py(), **row} for row in spans]
            with_spans += 1
            if settings.action == "cut":
                cuts = [with_marks(text.text, *row["place"]) for row in spans]
                keep = bool(np.isin(docs[number], holders))
                removals.take(batch, number, [text.extracted(*span) for span in cuts], keep)
    removals.counters |= {"spans": len(rows), "words_repeated": sum(row["words"] for row in rows)}
    removals.counters |= {"documents_with_spans": with_spans}
    return removals.report(folder, [write_rows(folder, f"spans/{unit.name}.parquet", rows, SPAN)])


def _spans(text: CutText, windows: Columns, length: int) -> list[dict[str, Any]]:
    """Rows of SPAN without the doc_id, and with `place`, in characters of the text after earlier cuts."""
    starts, stops = word_places(text.text)
    positions = windows["position"].astype(np.int64)
    rows = []
    for first, last in runs(positions, length):
        place = int(starts[first]), int(stops[last - 1])
        start, stop = text.extracted(*place)
        origin = int(windows["first"][np.searchsorted(positions, first)])
        rows.append({"start": start, "stop": stop, "words": last - first, "first": f"{origin:016x}", "place": place})
    return rows


def with_marks(text: str, start: int, stop: int) -> Span:
    """The span with the punctuation that hangs on its first and last word: up to white space or another word."""
    folded = folding_table()
    while start > 0 and not text[start - 1].isspace() and not folded[ord(text[start - 1])]:
        start -= 1
    while stop < len(text) and not text[stop].isspace() and not folded[ord(text[stop])]:
        stop += 1
    return start, stop


def _repeated(unit: str, config: dict[str, Any], settings: Spans) -> tuple[Columns, np.ndarray]:
    """The unit's windows that go, by doc and position, and the documents that hold a first copy, which others miss."""
    table = columns_of(path_of(config["windows"]) / f"{unit}.arrow")
    taken: dict[str, list[np.ndarray]] = {"doc": [], "position": [], "first": []}
    holders: list[np.ndarray] = []
    for part in range(config["parts"]):
        mine = part_slice(table["high"], part, config["parts"])
        here = {name: column[mine] for name, column in table.items()}
        places = columns_of(path_of(config["places"]) / f"{part_name(part)}.arrow")
        at = _joined(here["high"], here["low"], places["high"], places["low"])
        rows, at = np.flatnonzero(at >= 0), at[at >= 0]
        doc, position, first = here["doc"][rows], here["position"][rows], places["doc"][at]
        if settings.keep == "first":
            far = position.astype(np.int64) - places["position"][at] >= settings.min_tokens
            goes = (doc != first) | far
            holders.append(doc[~goes])
            doc, position, first = doc[goes], position[goes], first[goes]
        for name, column in zip(taken, (doc, position, first), strict=True):
            taken[name].append(column)
    found = {name: np.concatenate(columns) for name, columns in taken.items()}
    order = np.lexsort((found["position"], found["doc"]))
    return {name: column[order] for name, column in found.items()}, np.unique(
        np.concatenate([found["doc"][:0], *holders])
    )


@compiled
def _joined(high: np.ndarray, low: np.ndarray, table_high: np.ndarray, table_low: np.ndarray) -> np.ndarray:
    """For each row of (high, low), the row of the table that has it, or -1; both sorted."""
    out = np.full(len(high), -1, dtype=np.int64)
    at = 0
    for row in range(len(high)):
        while at < len(table_high) and (
            table_high[at] < high[row] or (table_high[at] == high[row] and table_low[at] < low[row])
        ):
            at += 1
        if at < len(table_high) and table_high[at] == high[row] and table_low[at] == low[row]:
            out[row] = at
    return out
