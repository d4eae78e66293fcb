"""Merging by scan, by heap, and as one would write it down are the same."""

from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
import pytest
from crawl2chat.tokenize.merging import merge, merge_by_heap, merge_scanning, pair_table


def plain(symbols: list[int], merges: list[tuple[int, int, int]]) -> list[int]:
    """The definition: the first pair of the lowest rank becomes one symbol, until no pair has a rank."""
    ranks = {(left, right): (rank, both) for rank, (left, right, both) in enumerate(merges)}
    while found := [(*ranks[pair], place) for place, pair in enumerate(pairwise(symbols)) if pair in ranks]:
        _, both, place = min(found, key=lambda one: (one[0], one[2]))
        symbols = [*symbols[:place], both, *symbols[place + 2 :]]
    return symbols


@pytest.mark.parametrize("seed", range(6))
def test_all_ways_are_the_same(seed: int) -> None:
    drawn = random.Random(seed)
    merges: list[tuple[int, int, int]] = []
    for both in range(4, 60):
        left, right = drawn.randrange(both), drawn.randrange(both)
        if (left, right) not in {pair[:2] for pair in merges}:
            merges.append((left, right, both if seed % 2 else drawn.choice([both, max(0, both - 7)])))
    table = pair_table(np.array(merges))
    for size in (0, 1, 2, 3, 7, 40, 96):
        for _ in range(30):
            symbols = [drawn.randrange(4) for _ in range(size)]
            expected = plain(symbols, merges)
            for way in (
                lambda given: merge_scanning(given, len(given), table, np.empty(96, np.uint64)),
                lambda given: merge_by_heap(given, len(given), table),
                lambda given: merge(given, len(given), table, np.empty(96, np.uint64)),
            ):
                given = np.array(symbols, np.int32)
                assert given[: way(given)].tolist() == expected


def test_without_merges_nothing_merges() -> None:
    symbols = np.array([1, 2, 3], np.int32)
    table = pair_table(np.zeros((0, 3), np.int64))
    assert merge(symbols, 3, table, np.empty(96, np.uint64)) == 3
    assert symbols.tolist() == [1, 2, 3]
