"""What the workers of the stage `decontaminate` do. No Ray here: plain functions over files.

1  write_index   index/                         decontaminate_index.py
2  match_unit    matches/UNIT.parquet           MATCH: each document and item with a run in common
3  find_common   common.npy                     the runs that stand in more than max_documents documents
4  judge_unit    contaminated/UNIT.parquet      CONTAMINATED: what was found, whatever became of the document
                 dropped/UNIT.parquet, cuts/UNIT.parquet    the ledger, and the spans of documents that stay
5  list_items    items.parquet                  CONTAMINATED_ITEM: the items' side
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..core.cuts import CutText, cut, pieces
from ..core.documents import read_cuts, strings, uncut_batches
from ..core.files import atomic_path
from ..core.manifest import file_entry
from ..core.remote_path import path_of
from ..core.removals import IDENTITY, span_rows, write_rows
from ..core.schema import CUTS, DROPPED
from ..core.settings_cleaning import Decontaminate
from ..core.units import Unit, UnitReport
from .decontaminate_build import build
from .decontaminate_index import NAMES, Index
from .decontaminate_match import is_contamination, matches, widened

DROP, PIECES, SHORT = "contaminated", "contaminated_pieces", "contaminated_short"

MATCH = pa.schema(
    [
        pa.field("doc_id", pa.string(), False),
        pa.field("item", pa.int64(), False),  # row of index/items.arrow
        pa.field("share", pa.float64(), False),
        pa.field("ngrams", pa.int64(), False),
        pa.field("runs", pa.list_(pa.int64()), False),  # of the index
        CUTS.field("spans"),
    ]
)
CONTAMINATED = pa.schema(
    [
        pa.field("doc_id", pa.string(), False),
        pa.field("set", pa.string(), False),
        pa.field("item", pa.int64(), False),  # number of its row in the set
        pa.field("ngrams", pa.int64(), False),  # of the document that are the item's
        pa.field("share", pa.float64(), False),  # of the item's question, or of the item, that the document has
    ]
)
CONTAMINATED_ITEM = pa.schema([*list(CONTAMINATED)[1:3], pa.field("documents", pa.int64(), False)])


def write_index(unit: Unit, folder: Path, config: dict[str, Any]) -> UnitReport:
    """Pass 1, in the folder index. Counters: items.SET, and items_short.SET, those with too few words to be found."""
    counts = build(Decontaminate.model_validate(config["decontaminate"]), folder)
    files = [file_entry(folder, folder / name, 0) for name in ("items.arrow", *(f"{name}.npy" for name in NAMES))]
    counters = {f"items.{name}": count["items"] for name, count in counts.items()}
    counters |= {f"items_short.{name}": count["short"] for name, count in counts.items()}
    return UnitReport(name=unit.name, files=files, counters=counters)


def match_unit(unit: Unit, folder: Path, config: dict[str, Any]) -> UnitReport:
    """Pass 2, in the folder matches. config: extract, stages: folders of the documents to read; index: folder."""
    index = Index(path_of(config["index"]))
    stages = [path_of(one) for one in config["stages"]]
    cuts = read_cuts(unit.name, stages)
    rows: list[dict[str, Any]] = []
    documents = 0
    for batch in uncut_batches(unit.name, path_of(config["extract"]), stages, ["doc_id", "text"]):
        ids = strings(batch["doc_id"])
        texts = [CutText(text, cuts.get(one, ())) for one, text in zip(ids, strings(batch["text"]), strict=True)]
        documents += len(ids)
        for found in matches([one.text for one in texts], index):
            spans = [texts[found.document].extracted(*span) for span in found.spans]
            rows.append(
                {"doc_id": ids[found.document], "item": found.item, "share": found.share, "ngrams": found.ngrams}
                | {"runs": found.runs, "spans": span_rows(spans)}
            )
    entry = write_rows(folder, f"{unit.name}.parquet", rows, MATCH)
    return UnitReport(name=unit.name, files=[entry], counters={"documents": documents, "matches": len(rows)})


def find_common(unit: Unit, folder: Path, config: dict[str, Any]) -> UnitReport:
    """Pass 3. config: units, names; max_documents. Memory: a number for each run of the index."""
    runs = len(np.load(folder / "index" / "hashes.npy", mmap_mode="r"))
    documents = np.zeros(runs, dtype=np.int64)
    for name in config["units"]:
        table = pq.read_table(folder / "matches" / f"{name}.parquet", columns=["doc_id", "runs"])
        ids = table["doc_id"].combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
        lists = table["runs"].combine_chunks()
        pairs = np.stack([ids[pc.list_parent_indices(lists).to_numpy()], pc.list_flatten(lists).to_numpy()])
        documents += np.bincount(np.unique(pairs, axis=1)[1], minlength=runs)
    common = np.flatnonzero(documents > config["max_documents"])
    path = folder / "common.npy"
    with atomic_path(path) as partial, partial.open("wb") as handle:
        np.save(handle, common)
    return UnitReport(name=unit.name, files=[file_entry(folder, path, len(common))], counters={})


def judge_unit(unit: Unit, folder: Path, config: dict[str, Any]) -> UnitReport:
    """Pass 4. config: extract, stages; decontaminate: the recipe's section."""
    settings = Decontaminate.model_validate(config["decontaminate"])
    items = Index(folder / "index").items
    common = np.load(folder / "common.npy")
    found: dict[str, list[dict[str, Any]]] = {}
    for row in pq.read_table(folder / "matches" / f"{unit.name}.parquet").to_pylist():
        rare = not np.isin(row["runs"], common).all()
        if is_contamination(row["share"], rare, settings.min_share):
            item = items.slice(row["item"], 1)
            row |= {"set": item["set"][0].as_py(), "item": item["number"][0].as_py()}
            found.setdefault(row["doc_id"], []).append(row)
    cuts, dropped, documents = _fates(unit.name, found, config, settings)
    listed = [row for rows in found.values() for row in rows]
    counters = {"documents_in": documents, "documents": documents - len(dropped), "dropped": len(dropped)}
    counters |= {"documents_cut": len(cuts), "documents_contaminated": len(found)}
    counters |= Counter(f"dropped.{row['reason']}" for row in dropped)
    files = [
        write_rows(folder, f"{kind}/{unit.name}.parquet", rows, schema)
        for kind, rows, schema in (("contaminated", listed, CONTAMINATED), ("cuts", cuts, CUTS))
    ]
    files.append(write_rows(folder, f"dropped/{unit.name}.parquet", dropped, DROPPED))
    return UnitReport(name=unit.name, files=files, counters=counters)


def _fates(
    unit: str, found: dict[str, list[dict[str, Any]]], config: dict[str, Any], settings: Decontaminate
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], int]:
    """Rows of CUTS and of DROPPED for the documents in `found`, and how many documents the unit has."""
    stages = [path_of(one) for one in config["stages"]]
    earlier = read_cuts(unit, stages) if settings.action == "cut" else {}
    wanted = pa.array(list(found), type=pa.string())
    columns = [*IDENTITY, "text"] if found and settings.action == "cut" else IDENTITY
    cuts: list[dict[str, Any]] = []
    dropped: list[dict[str, Any]] = []
    documents = 0
    for batch in uncut_batches(unit, path_of(config["extract"]), stages, columns):
        documents += batch.num_rows
        hits = batch.filter(pc.is_in(batch["doc_id"], value_set=wanted))
        for row in hits.to_pylist():
            worst = max(found[row["doc_id"]], key=lambda one: (one["share"], one["ngrams"], one["set"], -one["item"]))
            reason, value = DROP, float(worst["ngrams"])
            if settings.action == "cut":
                spans = [(s["start"], s["stop"]) for one in found[row["doc_id"]] for s in one["spans"]]
                text = row.pop("text")
                gone = widened(text, spans, settings.margin, settings.min_chars)
                left, parts = len(cut(text, [*gone, *earlier.get(row["doc_id"], ())])), len(pieces(text, gone))
                if left >= settings.min_chars and parts <= settings.max_pieces:
                    cuts.append({"doc_id": row["doc_id"], "spans": span_rows(gone)})
                    continue
                reason, value = (SHORT, float(left)) if left < settings.min_chars else (PIECES, float(parts))
            named = {"reason": reason, "value": value, "detail": f"{worst['set']}:{worst['item']}"}
            dropped.append(row | {"stage": "decontaminate"} | named)
    return cuts, dropped, documents


def list_items(unit: Unit, folder: Path, config: dict[str, Any]) -> UnitReport:
    """Pass 5. config: units. Counters: contaminated.SET, items with a document."""
    documents: Counter[tuple[str, int]] = Counter()
    for name in config["units"]:
        found = pq.read_table(folder / "contaminated" / f"{name}.parquet", columns=["set", "item"]).to_pylist()
        documents.update((row["set"], row["item"]) for row in found)
    rows = [{"set": name, "item": item, "documents": number} for (name, item), number in sorted(documents.items())]
    entry = write_rows(folder, "items.parquet", rows, CONTAMINATED_ITEM)
    counters = Counter(f"items_contaminated.{row['set']}" for row in rows)
    return UnitReport(name=unit.name, files=[entry], counters=dict(counters))
