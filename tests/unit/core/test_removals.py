"""Cuts and ledger of a unit: rows in are rows out, and earlier cuts count."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from crawl2chat.core.documents import kept_batches
from crawl2chat.core.removals import Removals, write_rows
from crawl2chat.core.schema import CUTS, DOCUMENT, DROPPED

TEXTS = {"a": "one two three four", "b": "five six", "c": "seven eight nine", "d": "gone"}


def test_a_document_is_cut_kept_or_dropped_by_what_all_cuts_leave(tmp_path: Path) -> None:
    fixed = {"url": "", "source": "s", "title": "", "date": "", "lang": "en", "lang_score": 1.0, "origin_file": "f"}
    rows = [fixed | {"doc_id": one, "text": text, "origin_offset": 0} for one, text in TEXTS.items()]
    write_rows(tmp_path, "extract/documents/u.parquet", rows, DOCUMENT)
    gone = {**fixed, "doc_id": "d", "stage": "dedup", "reason": "x", "value": 0.0, "detail": "", "origin_offset": 0}
    write_rows(tmp_path, "before/dropped/u.parquet", [gone], DROPPED)
    cuts = [{"doc_id": "a", "spans": [{"start": 0, "stop": 4}]}]
    write_rows(tmp_path, "before/cuts/u.parquet", cuts, CUTS)

    extract, before = tmp_path / "extract", [tmp_path / "before"]
    removals = Removals("u", "mine", extract, before, min_chars=9)
    [batch] = removals.batches()
    texts = removals.texts(batch)
    assert [text.text for text in texts] == ["two three four", "five six", "seven eight nine"]
    assert removals.take(batch, 0, [texts[0].extracted(10, 14)])  # "two three" is left: nine characters
    assert not removals.take(batch, 1, [(0, 5)])
    assert removals.take(batch, 2, [(5, 16)], keep=True)
    report = removals.report(tmp_path / "mine")
    assert report.counters == {
        **{"documents_in": 3, "documents": 2, "dropped": 1, "dropped.mine_short": 1},
        **{"documents_cut": 2, "chars_removed": 5 + 11},
    }
    [row] = pq.read_table(tmp_path / "mine" / "dropped" / "u.parquet").to_pylist()
    assert (row["doc_id"], row["stage"], row["reason"], row["value"]) == ("b", "mine", "mine_short", 3.0)
    kept = pa.Table.from_batches(kept_batches("u", extract, [*before, tmp_path / "mine"], ["doc_id", "text"]))
    assert kept.to_pylist() == [{"doc_id": "a", "text": "two three"}, {"doc_id": "c", "text": "seven"}]
