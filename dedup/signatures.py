"""Pass 1 of deduplication: a unit's documents to their signatures. The only pass that reads text.

documents/UNIT.parquet  ->  signatures/UNIT.arrow (SIGNATURE), signatures/stars/UNIT.arrow (EDGE)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..core.documents import kept_batches, strings
from ..core.manifest import file_entry
from ..core.settings_data import Dedup
from ..core.units import Unit, UnitReport
from .bands import band_keys, collapse, rows_of
from .exact import exact_hashes
from .minhash import signatures
from .shingles import shingles
from .tables import list_column, signature_schema, split_ids, write_arrow


def signature_table(doc_ids: Sequence[str], texts: Sequence[str], settings: Dedup) -> pa.Table:
    """SIGNATURE rows of some documents."""
    flat, offsets = shingles(texts, settings.ngram)
    matrix = signatures(flat, offsets, settings.bands * settings.rows, settings.seed)
    doc, doc_low = split_ids(doc_ids)
    return pa.Table.from_pydict(
        {
            "doc": doc,
            "doc_low": doc_low,
            "chars": np.array([len(text) for text in texts], dtype=np.int64),
            "shingles": np.diff(offsets),
            "exact": list_column(exact_hashes(texts)),
            "bands": list_column(band_keys(matrix, settings.bands, settings.rows)),
        },
        schema=signature_schema(settings.bands),
    )


def sign_unit(unit: Unit, folder: Path, config: dict[str, Any]) -> UnitReport:
    """Worker of pass 1. config: extract, the extract stage's folder; dedup, the recipe's section."""
    settings = Dedup.model_validate(config["dedup"])
    batches = kept_batches(unit.name, Path(config["extract"]), columns=["doc_id", "text"])
    tables = [signature_table(strings(batch["doc_id"]), strings(batch["text"]), settings) for batch in batches]
    table = pa.concat_tables([signature_schema(settings.bands).empty_table(), *tables])
    _, _, stars = collapse(*rows_of(table))
    files = []
    for name, part in ((f"{unit.name}.arrow", table), (f"stars/{unit.name}.arrow", stars)):
        write_arrow(folder / name, part)
        files.append(file_entry(folder, folder / name, part.num_rows))
    return UnitReport(name=unit.name, files=files, counters={"documents": table.num_rows})
