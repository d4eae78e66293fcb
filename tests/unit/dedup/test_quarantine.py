"""What is a cluster that is too large: by copies where pairs are verified, with and without an index's documents."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from crawl2chat.core.settings_data import Dedup
from crawl2chat.dedup.bands import EXACT, MINHASH
from crawl2chat.dedup.decide import decide
from crawl2chat.dedup.tables import (
    EXACT_DUPLICATE,
    KEPT,
    MINHASH_DUPLICATE,
    QUARANTINED,
    list_column,
    numbers,
    sketch_schema,
)

CHAIN = [set(range(10 * at, 10 * at + 40)) for at in range(30)]  # neighbours have 3 of 5 in common, ends nothing
COPIES = [set(range(100)) | {1000 + at} for at in range(30)]  # nearly the same


def decided(
    sets: list[set[int]], limit: int, verify: str = "jaccard", old: int = 0, equal: tuple[int, ...] = ()
) -> Any:
    """Documents that all share one key, the first `old` of an index; those in `equal` have one text.

    Returns the reasons and survivors by document (its place), and the counters.
    """
    count = len(sets)
    rows = sorted([(1 << 2 | MINHASH, at) for at in range(count)] + [(7 << 2 | EXACT, at) for at in equal])
    keys, nodes = (np.array(column) for column in zip(*rows, strict=True))
    doc = np.arange(1, count + 1).astype(np.uint64)
    lists = pa.array([sorted(one) for one in sets], type=sketch_schema(1).field("sketch").type)
    exact = list_column(np.array([(0, 7 if at in equal else 100 + at) for at in range(count)], dtype=np.uint64))
    columns = {
        "doc": doc,
        "doc_low": doc,
        "exact": exact,
        "priority": list_column(np.zeros((count, 1), dtype=np.uint64)),
    }
    found = pa.Table.from_pydict({**columns, "sketch": lists}, schema=sketch_schema(1))
    settings = Dedup.model_validate({"threshold": 0.55, "verify": verify, "gates": {"giant_cluster": limit}})
    fates, _, counters = decide(keys.astype(np.uint64), nodes, found, np.arange(count) < old, settings)
    place, best = (numbers(fates[name]).astype(int) - 1 for name in ("doc", "survivor"))
    return (
        dict(zip(place.tolist(), zip(fates["reason"].to_pylist(), best.tolist(), strict=True), strict=True)),
        counters,
    )


def test_candidates_that_are_no_copies_make_no_giant() -> None:
    """A chain of thirty: verification makes pairs and threes of it, and nothing is wrong with those."""
    fates, counters = decided(CHAIN, limit=10)
    assert counters["quarantined"] == 0 and counters["largest_cluster"] == 2
    assert sum(reason == MINHASH_DUPLICATE for reason, _ in fates.values()) == 15
    fates, counters = decided(CHAIN, limit=10, verify="none")
    assert counters["quarantined"] == 30 and {*fates.values()} == {(QUARANTINED, 0)}


def test_more_copies_than_the_limit_all_stay() -> None:
    fates, counters = decided(COPIES, limit=29)
    assert {*fates.values()} == {(QUARANTINED, 0)} and len(fates) == 30
    assert (counters["quarantined"], counters["clusters"]) == (30, 0)
    fates, counters = decided(COPIES, limit=30)
    assert [reason for reason, _ in fates.values()] == [KEPT] + 29 * [MINHASH_DUPLICATE]
    assert (counters["quarantined"], counters["largest_cluster"]) == (0, 30)


def test_only_the_cluster_that_is_too_large() -> None:
    fates, counters = decided([*COPIES, *CHAIN], limit=29)
    assert {fates[at] for at in range(30)} == {(QUARANTINED, 0)} and counters["quarantined"] == 30
    assert sum(reason == MINHASH_DUPLICATE for reason, _ in fates.values()) == 15


def test_equal_texts_leave_also_where_the_cluster_is_too_large() -> None:
    fates, counters = decided([*COPIES, COPIES[3]], limit=29, equal=(3, 30))
    assert fates[30] == (EXACT_DUPLICATE, 3) and counters["quarantined"] == 30
    assert counters["clusters"] == 1


def test_documents_of_an_index_are_no_part_of_the_count() -> None:
    """Four old documents, of which the first is the best of all new ones: twenty-six new ones stay with it."""
    fates, counters = decided(COPIES, limit=26, old=4)
    assert fates == dict.fromkeys(range(4, 30), (QUARANTINED, 0)) and counters["quarantined"] == 26
    fates, counters = decided(COPIES, limit=27, old=4)
    assert fates == dict.fromkeys(range(4, 30), (MINHASH_DUPLICATE, 0)) and counters["quarantined"] == 0
