"""Pass 1 of deduplication: a unit's documents to their signatures.

documents/UNIT.parquet  ->  signatures/UNIT.arrow (SIGNATURE), signatures/stars/UNIT.arrow (EDGE)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..core.documents import kept_batches, strings
from ..core.manifest import file_entry
from ..core.remote_path import path_of
from ..core.settings_data import Dedup
from ..core.units import Unit, UnitReport
from .bands import band_keys, collapse, rows_of
from .exact import exact_hashes
from .gone import gone_docs
from .minhash import signatures
from .priority import columns_of, priority
from .shingles import shingles
from .tables import list_column, signature_schema, split_ids, write_arrow

TEXT_CHARS = 1 << 24  # characters that are signed at a time: shingles take some 20 bytes of memory for each


def signature_table(
    batch: pa.Table | pa.RecordBatch, settings: Dedup, terms: Sequence[str], sources: Sequence[str]
) -> pa.Table:
    """SIGNATURE rows of some documents: doc_id, text, and the columns that the priority's terms need."""
    texts = strings(batch["text"])
    bands, rows = settings.banding
    parts = []
    counts: list[np.ndarray] = []
    for some in portions(texts):
        flat, offsets = shingles(some, settings.ngram, settings.unit)
        parts.append(band_keys(signatures(flat, offsets, bands * rows, settings.seed), bands, rows))
        counts.append(np.diff(offsets))
    doc, doc_low = split_ids(strings(batch["doc_id"]))
    chars = np.array([len(text) for text in texts], dtype=np.int64)
    return pa.Table.from_pydict(
        {
            "doc": doc,
            "doc_low": doc_low,
            "shingles": np.concatenate([np.zeros(0, dtype=np.int64), *counts]),
            "exact": list_column(exact_hashes(texts)),
            "bands": list_column(np.concatenate([np.zeros((0, bands), dtype=np.uint64), *parts])),
            "priority": list_column(priority(batch, terms, sources, doc, chars)),
        },
        schema=signature_schema(bands, len(terms)),
    )


def portions(texts: Sequence[str]) -> Iterator[list[str]]:
    """The texts in lists of some TEXT_CHARS characters; a longer text is one of its own."""
    some: list[str] = []
    size = 0
    for text in texts:
        if some and size + len(text) > TEXT_CHARS:
            yield some
            some, size = [], 0
        some.append(text)
        size += len(text)
    if some:
        yield some


def sign_unit(unit: Unit, folder: Path, config: dict[str, Any]) -> UnitReport:
    """Worker of pass 1. config: extract, the extract stage's folder; gone, those of pass 0; dedup, terms, sources."""
    settings, terms = Dedup.model_validate(config["dedup"]), config["terms"]
    columns = ["doc_id", "text", *columns_of(terms)]
    batches = kept_batches(unit.name, path_of(config["extract"]), columns=columns)
    tables = [signature_table(batch, settings, terms, config["sources"]) for batch in batches]
    schema = signature_schema(settings.banding[0], len(terms))
    table = pa.concat_tables([schema.empty_table(), *tables])
    _, _, stars = collapse(*rows_of(table, gone_docs(config["gone"])))
    files = []
    for name, part in ((f"{unit.name}.arrow", table), (f"stars/{unit.name}.arrow", stars)):
        path = folder / "signatures" / name
        write_arrow(path, part)
        files.append(file_entry(folder, path, part.num_rows))
    return UnitReport(name=unit.name, files=files, counters={"documents": table.num_rows})
