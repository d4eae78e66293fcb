"""Which pairs are compared: the same whatever the parts, only those with both texts here, and how many these are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
from crawl2chat.core.settings_data import Dedup
from crawl2chat.core.units import Unit, total
from crawl2chat.dedup.drawn import draw_part, join_drawn
from crawl2chat.dedup.gates import precision, told
from crawl2chat.dedup.tables import EXACT_DUPLICATE, FATE, KEPT, MINHASH_DUPLICATE, QUARANTINED, write_arrow

IN_INDEX = 10**6  # from here on documents that have no row


def written(folder: Path, parts: int) -> list[Unit]:
    """Fates of 400 documents: of each ten two leave for the first, one as an exact copy, two for one of an index."""
    rows = []
    for doc in range(400):
        survivor, reason = doc, KEPT
        if doc % 10 in (1, 2):
            survivor, reason = doc - doc % 10, MINHASH_DUPLICATE
        elif doc % 10 == 3:
            survivor, reason = doc - 3, EXACT_DUPLICATE
        elif doc % 10 in (4, 5):
            survivor, reason = IN_INDEX + doc, MINHASH_DUPLICATE
        elif doc >= 300 and doc % 10 == 9:
            survivor, reason = 309, QUARANTINED
        rows.append({"doc": doc, "survivor": survivor, "survivor_low": 7, "reason": reason, "similarity": None})
    units = [Unit(name=f"part-{number:05d}") for number in range(parts)]
    for number, unit in enumerate(units):
        some = [row for row in rows if row["doc"] // 100 % parts == number]
        write_arrow(folder / "fates" / f"{unit.name}.arrow", pa.Table.from_pylist(some, schema=FATE))
    return units


def drawn(folder: Path, parts: int, sample: int) -> tuple[list[list[int]], list[dict[str, object]], dict[str, int]]:
    units = written(folder, parts)
    counters = total([draw_part(unit, folder, {"sample": sample}) for unit in units])
    join_drawn(units, folder, sample)
    pairs, giants = (json.loads((folder / f"{name}.json").read_text()) for name in ("sample", "quarantined"))
    return pairs, giants, counters


def test_the_same_sample_whatever_the_parts(tmp_path: Path) -> None:
    one = drawn(tmp_path / "1", parts=1, sample=30)
    assert one == drawn(tmp_path / "4", parts=4, sample=30)
    pairs, giants, counters = one
    assert len(pairs) == 30 and all(doc - doc % 10 == survivor for doc, survivor in pairs)
    assert len({doc // 100 for doc, _ in pairs}) == 4, "of all of them"
    shown = [f"{doc:016x}" for doc in range(309, 400, 10)]
    assert giants == [{"best": f"{309:016x}{7:016x}", "members": 10, "first_halves_of_doc_ids": shown}]
    assert counters == {"removed": 160, "comparable": 80, "giant_clusters": 1}


def test_a_part_hands_on_no_more_than_the_sample(tmp_path: Path) -> None:
    [unit] = written(tmp_path, parts=1)
    report = draw_part(unit, tmp_path, {"sample": 5})
    assert report.files[0].rows == 5 and report.counters["comparable"] == 80
    pairs, _, _ = drawn(tmp_path, parts=1, sample=1000)
    assert len(pairs) == 80


def test_pairs_with_an_index_take_no_place_in_the_sample(tmp_path: Path) -> None:
    """A sample of five, of which all are compared, where half of what left has its survivor in an index."""
    pairs, _, counters = drawn(tmp_path, parts=2, sample=5)
    texts = np.unique(np.array(pairs, dtype=np.uint64))
    table = pa.table({"doc": texts, "text": ["one two three four five six"] * len(texts)})
    write_arrow(tmp_path / "texts.arrow", table)
    measured = precision(pairs, [tmp_path / "texts.arrow"], Dedup()) | counters
    assert measured["pairs"] == measured["similar"] == 5
    assert told(measured) == (
        "precision: 5 of 5 compared pairs are similar; 80 of 160 removed near copies can be compared, "
        "80 left for documents of an index, which has no texts"
    )
