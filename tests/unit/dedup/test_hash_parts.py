"""Sums by ranges of hashes: parts cover every hash once, and there are as many as the rows need."""

from __future__ import annotations

import numpy as np
import pytest
from crawl2chat.dedup.hash_parts import add_counts, among, part_slice, part_units, parts_for

TOP = 2**64 - 1


def test_counts_add_up_over_units() -> None:
    hashes, counts, first = add_counts(np.array([7, 3, 7, 9, 3], np.uint64), np.array([1, 2, 3, 4, 5]))
    assert (hashes.tolist(), counts.tolist(), first.tolist()) == ([3, 7, 9], [7, 4, 4], [1, 0, 3])
    assert [len(part) for part in add_counts(np.zeros(0, np.uint64), np.zeros(0, np.int64))] == [0, 0, 0]


def test_partitions_grow_with_the_rows() -> None:
    assert [parts_for(rows) for rows in (0, 10**6, 8 << 24, (8 << 24) + 1, 10**9, 10**12)] == [8, 8, 8, 9, 60, 4096]


@pytest.mark.parametrize("parts", [1, 2, 7, 4096])
def test_every_hash_is_in_one_part(parts: int) -> None:
    edges = [border << 64 for border in range(parts)]
    hashes = np.array(sorted({0, 1, TOP, *(edge // parts + more for edge in edges for more in (0, 1))}), np.uint64)
    slices = [part_slice(hashes, unit.spec["part"], parts) for unit in part_units(parts)]
    assert np.array_equal(np.concatenate([hashes[one] for one in slices]), hashes)
    assert [part_slice(hashes[:0], part, parts) for part in range(parts)] == [slice(0, 0)] * parts


def test_membership_of_a_sorted_column() -> None:
    those = np.array([3, 7, TOP], np.uint64)
    assert among(np.array([7, 0, TOP, 4], np.uint64), those).tolist() == [True, False, True, False]
    assert among(those, those[:0]).tolist() == [False, False, False]
