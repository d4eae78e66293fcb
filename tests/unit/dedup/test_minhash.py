"""Signatures: the definition, the estimate, and that they stay what they are."""

from __future__ import annotations

import hashlib
import itertools

import numpy as np
from crawl2chat.dedup.minhash import EMPTY, VERSION, jaccard, parameters, signatures
from crawl2chat.dedup.shingles import shingles

GENERATOR = np.random.default_rng(7)


def test_each_place_is_the_smallest_hash() -> None:
    flat = GENERATOR.integers(0, 1 << 32, 900, dtype=np.uint32)
    offsets = np.array([0, 0, 1, 500, 500, 900, 900])
    ours = signatures(flat, offsets, 20, seed=3)
    flip, odd = parameters(20, 3)
    for row, (first, last) in enumerate(itertools.pairwise(offsets)):
        for place in range(20):
            hashes = [((int(x) ^ int(flip[place])) * int(odd[place])) % (1 << 32) for x in flat[first:last]]
            assert ours[row, place] == min(hashes, default=EMPTY)


def test_blocks_leave_no_trace() -> None:
    lengths = [3, 100_000, 0, 40_000, 1, 7, 33_000]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    flat = GENERATOR.integers(0, 1 << 32, offsets[-1], dtype=np.uint32)
    together = signatures(flat, offsets, 8, seed=1)
    for row, (first, last) in enumerate(itertools.pairwise(offsets)):
        alone = signatures(flat[first:last], np.array([0, last - first]), 8, seed=1)
        assert (alone[0] == together[row]).all()


def test_agreement_estimates_jaccard_without_bias() -> None:
    """Mean error within 4 standard errors of 0, and the variance that of a fair coin of weight s."""
    count, pairs, size = 112, 400, 300
    for common in (60, 150, 240, 285):
        similarity = common / (2 * size - common)
        sets = GENERATOR.integers(0, 1 << 32, (pairs, 2 * size - common), dtype=np.uint32)
        offsets = np.arange(pairs + 1) * size
        one = signatures(np.ascontiguousarray(sets[:, :size]).ravel(), offsets, count, seed=1)
        other = signatures(np.ascontiguousarray(sets[:, -size:]).ravel(), offsets, count, seed=1)
        estimates = jaccard(one, other)
        variance = similarity * (1 - similarity) / count
        assert abs(estimates.mean() - similarity) < 4 * np.sqrt(variance / pairs)
        assert 0.75 < estimates.var() / variance < 1.35


def test_seeds_give_other_functions() -> None:
    flat, offsets = shingles(["a b c d e f g h"], 5)
    assert (signatures(flat, offsets, 16, seed=1) != signatures(flat, offsets, 16, seed=2)).all()


def test_signatures_stay_what_they_are() -> None:
    """The same bytes on every machine. Whoever has to change this line raises VERSION."""
    flat, offsets = shingles(["The quick brown fox jumps over the lazy dog.", "東京都は日本の首都です。", ""], 5)
    digest = hashlib.sha256(signatures(flat, offsets, 112, seed=1).astype("<u4").tobytes()).hexdigest()
    assert (VERSION, digest) == (1, "10cccb04349f37f4517e0f6558e3c25973517535f18b4132212390eb17ecd19a")
