"""Band keys and the rows that are shuffled."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pyarrow as pa
import pytest
from crawl2chat.core.banding import collision_probability, solve
from crawl2chat.core.settings_data import Dedup
from crawl2chat.dedup.bands import (
    EXACT,
    IDENTITY,
    MINHASH,
    band_keys,
    collapse,
    first_of_equals,
    members,
    partition_of,
    rows_of,
    twice,
)
from crawl2chat.dedup.signatures import signature_table
from crawl2chat.dedup.tables import list_column, signature_schema

GENERATOR = np.random.default_rng(11)


def test_keys_differ_by_band_and_agree_by_rows() -> None:
    signature = np.tile(GENERATOR.integers(0, 1 << 32, 8, dtype=np.uint32), 14)[None].repeat(2, axis=0)
    signature[1, 3] ^= 1  # one hash of band 0
    keys = band_keys(signature, 14, 8)
    assert len(np.unique(keys[0])) == 14
    assert (keys[0] == keys[1]).tolist() == [False] + [True] * 13


@pytest.mark.parametrize("similarity", [0.5, 0.6, 0.7, 0.8, 0.9])
def test_pairs_share_a_band_as_often_as_the_formula_says(similarity: float) -> None:
    """Signatures of pairs whose places agree with probability s; 5 standard errors."""
    pairs, bands, rows = 4000, 14, 8
    one = GENERATOR.integers(0, 1 << 32, (pairs, bands * rows), dtype=np.uint32)
    other = np.where(GENERATOR.random(one.shape) < similarity, one, one ^ np.uint32(0x5BD1E995))
    shared = (band_keys(one, bands, rows) == band_keys(other, bands, rows)).any(axis=1).mean()
    expected = collision_probability(similarity, bands, rows)
    assert abs(shared - expected) < 5 * np.sqrt(expected * (1 - expected) / pairs)


@pytest.mark.parametrize(
    "threshold, recall, hashes", [(0.8, 0.99, 128), (0.5, 0.9, 64), (0.95, 0.999, 400), (1, 0.5, 9)]
)
def test_the_target_is_reached_with_the_steepest_curve(threshold: float, recall: float, hashes: int) -> None:
    """Against all bands and rows within the budget."""
    bands, rows = solve(threshold, recall, hashes)
    good = [
        (r, -b)
        for r in range(1, hashes + 1)
        for b in range(1, hashes // r + 1)
        if collision_probability(threshold, b, r) >= recall
    ]
    assert (rows, -bands) == max(good)


def signed(texts: list[str], ids: list[str], settings: Dedup) -> pa.Table:
    batch = pa.table({"doc_id": ids, "text": texts})
    return signature_table(batch, settings, ["length", "doc_id"], [])


def test_rows_of_documents() -> None:
    """Of equal texts only the best has band keys; near ones meet by a band, and a URL's copy has its id alone."""
    ids = [f"{number:032x}" for number in (7 << 64, 8 << 64, 9 << 64, 10 << 64, 11 << 64)]
    long = "one two three four five six"
    texts = [long, "too short", long.upper() + "!", long + "  ", long + "?"]
    table = signed(texts, ids, Dedup(bands=3, rows=2))
    keys, docs = rows_of(table, np.array([11], dtype=np.uint64))
    kinds = keys & np.uint64(3)
    assert [(kinds == kind).sum() for kind in (MINHASH, EXACT, IDENTITY)] == [6, 4, 5]
    assert sorted(docs[kinds == MINHASH].tolist()) == [9, 9, 9, 10, 10, 10]  # 10 is longer than its equal, 7
    edges = collapse(keys, docs)[2].to_pylist()
    met = sorted((edge["left"], edge["right"], edge["key"] & 3) for edge in edges)
    assert met == [(7, 10, EXACT), *[(9, 10, MINHASH)] * 3]


def test_a_forged_exact_key_hides_no_bands() -> None:
    """Two texts of one key: both send their bands, as all 128 bits decide which texts are equal."""
    table = signed([f"one two three four five {last}" for last in "ab"], [f"{n << 64:032x}" for n in (7, 8)], Dedup())
    same = {"exact": list_column(np.array([[5, 1], [5, 2]], dtype=np.uint64))}
    forged = pa.Table.from_pydict({name: same.get(name, table[name]) for name in table.column_names}, table.schema)
    keys, docs = rows_of(forged)
    kinds = keys & np.uint64(3)
    assert len(set(keys[kinds == EXACT].tolist())) == 1
    assert set(docs[kinds == MINHASH].tolist()) == {7, 8}


def test_first_of_equal_hashes_against_a_plain_grouping() -> None:
    """Few values, so that one half is often equal alone; and no such case."""
    for halves in (
        GENERATOR.integers(0, 9, (500, 2), dtype=np.uint64),
        np.repeat(np.arange(300), 2).reshape(-1, 2)[::-1],
    ):
        hashes = np.concatenate([halves, halves]).astype(np.uint64)
        first: dict[tuple[int, ...], int] = {}
        for at, row in enumerate(hashes.tolist()):
            first.setdefault(tuple(row), at)
        assert sorted(first_of_equals(hashes).tolist()) == sorted(first.values())
    assert len(first_of_equals(np.zeros((0, 2), dtype=np.uint64))) == 0


def test_collapse_against_a_plain_grouping() -> None:
    keys = (GENERATOR.integers(0, 200, 3000, dtype=np.uint64) << np.uint64(2)) | GENERATOR.choice(
        np.array([MINHASH, EXACT], dtype=np.uint64), 3000
    )
    docs = GENERATOR.integers(0, 500, 3000, dtype=np.uint64)
    groups: dict[int, set[int]] = defaultdict(set)
    for key, doc in zip(keys.tolist(), docs.tolist(), strict=True):
        groups[key].add(doc)
    expected = {(min(group), doc, key) for key, group in groups.items() for doc in group - {min(group)}}
    left_keys, left_docs, edges = collapse(keys, docs)
    assert dict(zip(left_keys.tolist(), left_docs.tolist(), strict=True)) == {k: min(g) for k, g in groups.items()}
    found = [tuple(row.values()) for row in edges.to_pylist()]
    assert sorted(found) == sorted(expected)
    assert set(zip(*(column.tolist() for column in members(edges)), strict=True)) == {
        (key, doc) for key, group in groups.items() if len(group) > 1 for doc in group
    }
    shuffled = GENERATOR.permutation(len(keys))
    assert collapse(keys[shuffled], docs[shuffled])[2].equals(edges)


def test_a_million_identical_documents_send_one_row_a_key() -> None:
    count, bands = 1_000_000, 16
    doc = GENERATOR.permutation(count).astype(np.uint64)
    same = {"exact": np.full((count, 2), 5), "bands": np.full((count, bands), 9), "priority": np.full((count, 1), 3)}
    lists = {name: list_column(values.astype(np.uint64)) for name, values in same.items()}
    columns = {"doc": doc, "doc_low": doc, "shingles": np.full(count, 40), **lists}
    keys, _, edges = collapse(*rows_of(pa.Table.from_pydict(columns, schema=signature_schema(bands, 1))))
    assert (keys & np.uint64(3) != IDENTITY).sum() == 2  # the exact key, and one of 16 equal bands
    assert edges.num_rows == count - 1


def test_nothing_to_collapse() -> None:
    none = np.zeros(0, dtype=np.uint64)
    keys, docs, edges = collapse(none, none)
    assert len(keys) == len(docs) == edges.num_rows == 0


def test_a_document_that_stands_twice_is_seen_also_after_collapsing() -> None:
    docs = np.array([5, 6, 5], dtype=np.uint64) << np.uint64(40)
    keys = docs | np.uint64(IDENTITY)
    keys, docs, edges = collapse(keys, docs)
    assert twice(keys, docs).tolist() == [5 << 40]
    assert edges.num_rows == 0


def test_partitions_are_even_and_fixed() -> None:
    keys = GENERATOR.integers(0, 1 << 62, 70_000, dtype=np.uint64) << np.uint64(2)
    counts = np.bincount(partition_of(keys, 7), minlength=7)
    assert len(counts) == 7 and counts.min() > 9_500 and counts.max() < 10_500
    assert partition_of(np.array([0, 4, 8, 12], dtype=np.uint64), 7).tolist() == [0, 4, 0, 4]
