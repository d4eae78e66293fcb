"""From doc_ids back to the records that they came from: what `crawl2chat trace` prints."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

COLUMNS = ["doc_id", "url", "title", "origin_file", "origin_offset"]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a document stands: origin_file is relative to the run's folder for crawled pages."""

    doc_id: str
    url: str
    title: str
    origin_file: str
    origin_offset: int


def find_origins(extract_folder: Path, units: Iterable[str], doc_ids: Collection[str]) -> dict[str, Origin]:
    """Origins by doc_id, of those that the units hold. Texts are not read."""
    wanted = pa.array(sorted(set(doc_ids)), type=pa.string())
    found: dict[str, Origin] = {}
    for unit in sorted(set(units)):
        with pq.ParquetFile(extract_folder / "documents" / f"{unit}.parquet") as file:
            for batch in file.iter_batches(columns=COLUMNS):
                hits = batch.filter(pc.is_in(batch["doc_id"], value_set=wanted))
                found.update((row["doc_id"], Origin(**row)) for row in hits.to_pylist())
    return found
