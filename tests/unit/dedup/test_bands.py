"""Band keys and the rows that are shuffled."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from crawl2chat.core.settings_data import Dedup
from crawl2chat.dedup.bands import (
    EXACT,
    IDENTITY,
    MINHASH,
    band_keys,
    collapse,
    collision_probability,
    partition_of,
    rows_of,
    twice,
)
from crawl2chat.dedup.signatures import signature_table

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


def test_rows_of_documents() -> None:
    ids = [f"{number:032x}" for number in (7 << 64, 8 << 64, 9 << 64)]
    long = "one two three four five six"
    table = signature_table(ids, [long, "too short", long.upper() + "!"], Dedup(bands=3, rows=2))
    keys, docs = rows_of(table)
    kinds = keys & np.uint64(3)
    assert [(kinds == kind).sum() for kind in (MINHASH, EXACT, IDENTITY)] == [6, 3, 3]
    assert sorted(docs[kinds == MINHASH].tolist()) == [7, 7, 7, 9, 9, 9]
    near = collapse(keys, docs)[2].to_pylist()
    assert near == [{"left": 7, "right": 9, "exact": False}]  # same words: near, but "!" keeps them from being exact


def test_collapse_against_a_plain_grouping() -> None:
    keys = (GENERATOR.integers(0, 200, 3000, dtype=np.uint64) << np.uint64(2)) | GENERATOR.choice(
        np.array([MINHASH, EXACT], dtype=np.uint64), 3000
    )
    docs = GENERATOR.integers(0, 500, 3000, dtype=np.uint64)
    groups: dict[int, set[int]] = defaultdict(set)
    for key, doc in zip(keys.tolist(), docs.tolist(), strict=True):
        groups[key].add(doc)
    expected = {(min(group), doc, key & 3 == EXACT) for key, group in groups.items() for doc in group - {min(group)}}
    left_keys, left_docs, edges = collapse(keys, docs)
    assert dict(zip(left_keys.tolist(), left_docs.tolist(), strict=True)) == {k: min(g) for k, g in groups.items()}
    found = [tuple(row.values()) for row in edges.to_pylist()]
    assert found == sorted(expected)
    shuffled = GENERATOR.permutation(len(keys))
    assert collapse(keys[shuffled], docs[shuffled])[2].equals(edges)


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
