"""Reading the documents that are left after a stage: documents minus ledgers and cuts, joined by doc_id."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .cuts import Span, cut
from .manifest import Manifest
from .recipe import Recipe
from .schema import DOCUMENT
from .units import Unit

BATCH_ROWS = 1024


def extracted_units(extract: Manifest) -> list[Unit]:
    """The units that the extract stage wrote, by its manifest, sorted by name."""
    return [Unit(name=path.stem) for path in extract.paths(Path(), "documents/")]


def ledger_stages(recipe: Recipe) -> tuple[str, ...]:
    """The stages behind extract by which documents leave or are cut, in their order."""
    sections = {"spans": recipe.spans, "paragraphs": recipe.paragraphs, "decontaminate": recipe.decontaminate.sets}
    return ("dedup", *(name for name, section in sections.items() if section))


def kept_batches(
    unit: str, extract_folder: Path, stages: Sequence[Path] = (), columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Record batches of the unit's documents that stand in no ledger, in file order, their texts without the cuts.

    extract_folder holds documents/UNIT.parquet; each folder in `stages` is a later stage's, with dropped/UNIT.parquet
    and, if it cuts texts, cuts/UNIT.parquet. Memory: one batch, and the doc_ids and spans that this unit lost.
    """
    names = list(columns or DOCUMENT.names)
    cuts = read_cuts(unit, stages) if "text" in names else {}
    reads = names if "doc_id" in names else [*names, "doc_id"]
    for batch in uncut_batches(unit, extract_folder, stages, reads):
        yield _without(batch, cuts).select(names)


def uncut_batches(
    unit: str, extract_folder: Path, stages: Sequence[Path], columns: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    """The same documents with their texts as extracted, for stages that cut themselves. `columns` has doc_id."""
    lost = [pq.read_table(folder / "dropped" / f"{unit}.parquet", columns=["doc_id"])["doc_id"] for folder in stages]
    gone = pa.chunked_array([chunk for column in lost for chunk in column.chunks], type=pa.string()).combine_chunks()
    with pq.ParquetFile(extract_folder / "documents" / f"{unit}.parquet") as file:
        for group in range(file.num_row_groups):  # which are of some MB: a batch across them could hold 1,024 books
            for batch in file.iter_batches(batch_size=BATCH_ROWS, row_groups=[group], columns=list(columns)):
                kept = batch.filter(pc.invert(pc.is_in(batch["doc_id"], value_set=gone)))
                if kept.num_rows:
                    yield kept


def read_cuts(unit: str, stages: Sequence[Path]) -> dict[str, list[Span]]:
    """The spans that these stages cut from the unit's texts, by doc_id."""
    found: dict[str, list[Span]] = {}
    for path in (folder / "cuts" / f"{unit}.parquet" for folder in stages):
        if path.exists():
            for row in pq.read_table(path).to_pylist():
                found.setdefault(row["doc_id"], []).extend((span["start"], span["stop"]) for span in row["spans"])
    return found


def _without(batch: pa.RecordBatch, cuts: dict[str, list[Span]]) -> pa.RecordBatch:
    """The batch with the cuts applied to its column `text`."""
    if not cuts:
        return batch
    ids = cast(list[str], batch["doc_id"].to_pylist())
    if not any(one in cuts for one in ids):
        return batch
    touched = pa.array([one in cuts for one in ids])
    spans = [cuts[one] for one in ids if one in cuts]
    texts = [cut(text, gone) for text, gone in zip(strings(batch["text"].filter(touched)), spans, strict=True)]
    replaced = pc.replace_with_mask(batch["text"], touched, pa.array(texts, type=batch["text"].type))
    return batch.set_column(batch.schema.get_field_index("text"), batch.schema.field("text"), replaced)


def strings(column: pa.Array | pa.ChunkedArray) -> list[str]:
    """A string column without nulls as a list. Bytes that are not UTF-8, which Arrow does not check, become U+FFFD."""
    try:
        return cast(list[str], column.to_pylist())
    except UnicodeDecodeError:
        raw = column.cast(pa.large_binary()).to_pylist()
        return [cast(bytes, one).decode("utf-8", "replace") for one in raw]
