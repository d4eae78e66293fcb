"""Pass 1 on a unit's file, without Ray."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crawl2chat.core.schema import DOCUMENT, doc_id
from crawl2chat.core.settings_data import Dedup
from crawl2chat.core.units import Unit
from crawl2chat.dedup.bands import EXACT
from crawl2chat.dedup.signatures import sign_unit, signature_table
from crawl2chat.dedup.tables import matrix, numbers, read_arrow

GENERATOR = np.random.default_rng(3)
WORDS = [f"word{number}" for number in range(500)]
TEXTS = [" ".join(GENERATOR.choice(WORDS, size)) for size in GENERATOR.integers(0, 300, 2500)]
TEXTS[7] = TEXTS[1900]
TERMS = ["length", "doc_id"]
IDS = [doc_id("web", str(number)) for number in range(len(TEXTS))]


def write_unit(folder: Path, texts: pa.Array) -> None:
    columns = {}
    for field in DOCUMENT:
        empty = [0] * len(texts) if field.type in (pa.float32(), pa.int64()) else [""] * len(texts)
        columns[field.name] = pa.array(empty, type=field.type)
    columns |= {"doc_id": pa.array(IDS[: len(texts)]), "text": texts}
    (folder / "documents").mkdir()
    pq.write_table(pa.table(columns, schema=DOCUMENT), folder / "documents" / "web-00000.parquet")


def sign(tmp_path: Path) -> pa.Table:
    config = {"extract": str(tmp_path), "dedup": Dedup().model_dump(), "terms": TERMS, "sources": ["web"], "gone": []}
    report = sign_unit(Unit(name="web-00000"), tmp_path / "out", config)
    table = read_arrow(tmp_path / "out" / "signatures" / "web-00000.arrow")
    assert report.counters == {"documents": table.num_rows}
    assert [entry.path for entry in report.files] == ["signatures/web-00000.arrow", "signatures/stars/web-00000.arrow"]
    return table


def test_batches_of_a_unit_leave_no_trace(tmp_path: Path) -> None:
    """A unit of more rows than a batch has, against the same documents all at once and one by one."""
    write_unit(tmp_path, pa.array(TEXTS, type=pa.large_string()))
    table = sign(tmp_path)
    batch = pa.table({"doc_id": IDS, "text": TEXTS})
    assert table.equals(signature_table(batch, Dedup(), TERMS, []))
    for row in (0, 7, 1023, 1024, 2499):
        assert signature_table(batch.slice(row, 1), Dedup(), TERMS, []).equals(table.slice(row, 1))
    stars = read_arrow(tmp_path / "out" / "signatures" / "stars" / "web-00000.arrow").to_pylist()
    pair = sorted(numbers(table["doc"])[[7, 1900]].tolist())
    assert [star for star in stars if [star["left"], star["right"]] == pair and star["key"] & 3 == EXACT]


def test_long_texts_are_signed_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = pa.table({"doc_id": IDS[:50], "text": TEXTS[:50]})
    whole = signature_table(batch, Dedup(), TERMS, [])
    monkeypatch.setattr("crawl2chat.dedup.signatures.TEXT_CHARS", 700)
    assert signature_table(batch, Dedup(), TERMS, []).equals(whole)


def test_bytes_that_are_not_utf8_harm_no_other_document(tmp_path: Path) -> None:
    raw = pa.array([b"a b c d e f g", b"a b \xff\xfe c \xc3", b"a b c d e f g"], type=pa.large_binary())
    write_unit(tmp_path, raw.view(pa.large_string()))
    table = sign(tmp_path)
    assert numbers(table["shingles"]).tolist() == [3, 0, 3]
    bands = matrix(table["bands"])
    assert (bands[0] == bands[2]).all()
    assert read_arrow(tmp_path / "out" / "signatures" / "stars" / "web-00000.arrow").num_rows == 1  # exactly
