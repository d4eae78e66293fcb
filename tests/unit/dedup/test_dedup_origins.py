"""What the errors say of documents whose ids are not new, without Ray."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crawl2chat.core.units import Unit
from crawl2chat.dedup.bands import IDENTITY, of_kind
from crawl2chat.dedup.index_build import list_units, meet_rows
from crawl2chat.dedup.origins import in_index, same_id
from crawl2chat.dedup.tables import split_ids

ONE, OTHER, LIKE_ONE = "0123456789abcdef" * 2, "fedcba9876543210" * 2, "0123456789abcdef" + "0" * 16
UNITS = [Unit(name="web-00000")]
DOC = int(ONE[:16], 16)


def extract(run: Path, *documents: tuple[str, str]) -> Path:
    """A run's folder `extract` with one unit of these documents: (doc_id, file)."""
    path = run / "extract" / "documents" / "web-00000.parquet"
    path.parent.mkdir(parents=True)
    rows = [
        {"doc_id": one, "source": "web", "origin_file": file, "origin_offset": at}
        for at, (one, file) in enumerate(documents)
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)
    return run / "extract"


def indexed(run: Path, *added: tuple[str, int]) -> Path:
    """An index in one partition that has seen these documents: (doc_id, number of the run that added it)."""
    doc, low = split_ids([one for one, _ in added])
    first = np.array([number for _, number in added], dtype=np.uint64)
    rows = {"key": of_kind(doc, IDENTITY), "doc": doc, "low": low, "first": first, "second": np.zeros_like(first)}
    index = run / "dedup" / "index"
    runs = int(first.max()) + 1
    for number in range(runs):
        list_units(run / "dedup", number, ["web-00000"])
    meet_rows(0, rows, index / "seen", "seen", 1, None)
    (index / "index.json").write_text(json.dumps({"partitions": 1, "runs": runs}))
    return index


def test_the_file_of_a_known_document_is_that_of_the_run_that_added_it(tmp_path: Path) -> None:
    """January added it; February had it too, dropped it as known and added another; March is refused."""
    january = indexed(tmp_path / "january", (ONE, 0))
    extract(tmp_path / "january", (ONE, "january.jsonl"))
    february = indexed(tmp_path / "february", (ONE, 0), (OTHER, 1))
    extract(tmp_path / "february", (ONE, "february.jsonl"), (OTHER, "february.jsonl"))
    march = extract(tmp_path / "march", (ONE, "march.jsonl"), (OTHER, "march.jsonl"))

    said = in_index(DOC, UNITS, march, january).message
    assert "march.jsonl@0 of source web, stands in the index" in said
    assert said.endswith("added from unit web-00000 of run 1 of the 1 that made it, january.jsonl@0 of source web")
    said = in_index(DOC, UNITS, march, february).message
    assert said.endswith("added from unit web-00000 of run 1 of the 2 that made it"), "February did not add it"
    said = in_index(int(OTHER[:16], 16), UNITS, march, february).message
    assert said.endswith("unit web-00000 of run 2 of the 2 that made it, february.jsonl@1 of source web")


def test_ids_that_only_begin_alike_are_told_from_equal_ones(tmp_path: Path) -> None:
    equal = same_id(DOC, UNITS, extract(tmp_path / "equal", (ONE, "a"), (LIKE_ONE, "b"), (ONE, "c")))
    assert equal.message == f"two documents have one doc_id: {ONE} is a@0 of source web; {ONE} is c@2 of source web"
    assert equal.fix == "name each input file in one source, once"

    alike = same_id(DOC, UNITS, extract(tmp_path / "alike", (ONE, "a"), (OTHER, "b"), (LIKE_ONE, "c")))
    assert "different doc_ids that begin with the same 64 bits" in alike.message
    assert alike.message.endswith(f": {ONE} is a@0 of source web; {LIKE_ONE} is c@2 of source web")
    assert "another name" in alike.fix and "once" not in alike.fix


@pytest.mark.parametrize("there", [True, False])
def test_a_new_id_that_begins_like_an_old_one(tmp_path: Path, there: bool) -> None:
    index = indexed(tmp_path / "old", (ONE, 0))
    if there:
        extract(tmp_path / "old", (ONE, "old.jsonl"))
    error = in_index(DOC, UNITS, extract(tmp_path / "new", (LIKE_ONE, "new.jsonl")), index)
    assert f"document {LIKE_ONE}, new.jsonl@0 of source web, begins with the same 64 bits as {ONE}" in error.message
    assert ("old.jsonl@0" in error.message) == there
    assert "another name" in error.fix and "dedup.known=drop" in error.fix
