"""Repeated runs of words, by the definitions of datatrove's Gopher repetition filter (Rae et al. 2021, table A1).

`top_characters`: characters of the most frequent n-gram (words joined by blanks) times its frequency; of equally
frequent ones the first counts. `repeated_characters`: characters in n-grams that stood before in the text, where a
repeated n-gram is skipped as a whole; there the words are joined by nothing, so that "a bc" repeats "ab c".

All texts of a group are worked on together. An n-gram is one 64-bit number, made from that of the (n-1)-gram at the
same place. Equal ones find each other without sorting: all write their position to the place of a table that their
number names, and who reads back a position with the same number belongs to it; the others try another table.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .columns import owners, totals
from .cutting import BASE
from .lexicon import Lexicon, Words

SALT = np.uint64(0xD1342543DE82EF95)  # odd
SPREAD = 0x9E3779B97F4A7C15  # odd


def top_characters(words: Words, lexicon: Lexicon, sizes: Sequence[int]) -> dict[int, np.ndarray]:
    """For each n: int64 [texts], 0 for a text of fewer than n words."""
    owner, texts = owners(words.counts), len(words.counts)
    reach = _reach(words, lexicon)
    begins = np.cumsum(words.counts) - words.counts
    keys = np.zeros(len(words.ids), dtype=np.uint64)
    own = words.ids.astype(np.uint64) + np.uint64(1)
    found: dict[int, np.ndarray] = {}
    for n in range(1, max(sizes, default=0) + 1):
        keys = keys[: len(own) - n + 1] * np.uint64(BASE) + own[n - 1 :]
        if n not in sizes:
            continue
        times, at = np.ones(texts, dtype=np.int64), begins.copy()  # where nothing repeats: the first n-gram, once
        _, count = _equal(_within_texts(keys, owner, words.counts, n))
        again = np.flatnonzero(count > 1)
        np.maximum.at(times, owner[again], count[again])
        best = again[count[again] == times[owner[again]]]
        whose, first = np.unique(owner[best], return_index=True)
        at[whose] = best[first]
        long_enough = np.flatnonzero(words.counts >= n)
        at = at[long_enough]
        found[n] = np.zeros(texts, dtype=np.int64)
        found[n][long_enough] = (reach[at + n] - reach[at] + n - 1) * times[long_enough]
    return found


def repeated_characters(words: Words, lexicon: Lexicon, sizes: Sequence[int]) -> dict[int, np.ndarray]:
    """For each n: float64 [texts]."""
    owner = owners(words.counts)
    reach = _reach(words, lexicon)
    hashes, steps = lexicon.hashes[words.ids], lexicon.powers[words.ids]
    keys = np.zeros(len(words.ids), dtype=np.uint64)
    found: dict[int, np.ndarray] = {}
    for n in range(1, max(sizes, default=0) + 1):
        keys = keys[: len(hashes) - n + 1] * steps[n - 1 :] + hashes[n - 1 :]
        if n in sizes:
            group, count = _equal(_within_texts(keys, owner, words.counts, n))
            hits = _hits(group, np.flatnonzero(count > 1), n)
            found[n] = totals(owner[hits], reach[hits + n] - reach[hits], len(words.counts))
    return found


def _reach(words: Words, lexicon: Lexicon) -> np.ndarray:
    """Characters before each word of the group, and after the last: int64 [words + 1]."""
    return np.concatenate([[0], np.cumsum(lexicon.lengths[words.ids])])


def _within_texts(keys: np.ndarray, owner: np.ndarray, counts: np.ndarray, n: int) -> np.ndarray:
    """Keys that are equal within a text only; n-grams that cross the end of a text are equal to none."""
    salted = keys + owner[: len(keys)].astype(np.uint64) * SALT
    crossing = (np.cumsum(counts)[:, None] - np.arange(1, n)).ravel()
    crossing = crossing[(crossing >= 0) & (crossing < len(keys))]
    crossing = crossing[owner[crossing] != owner[crossing + n - 1]]
    salted[crossing] = (crossing.astype(np.uint64) + np.uint64(1)) * np.uint64(SPREAD)
    return salted


def _equal(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each key: the number of its group of equal keys, and how many there are."""
    group = np.empty(len(keys), dtype=np.int64)
    left, factor = np.arange(len(keys)), SPREAD
    while len(left):
        bits = max(4, len(left).bit_length() + 2)
        slots = ((keys[left] * np.uint64(factor)) >> np.uint64(64 - bits)).astype(np.int64)
        last = np.empty(1 << bits, dtype=np.int64)  # not filled: only what is written next is read
        last[slots] = left
        shown = last[slots]
        same = keys[shown] == keys[left]
        group[left[same]] = shown[same]
        left, factor = left[~same], factor * SPREAD & 0xFFFFFFFFFFFFFFFF
    return group, np.bincount(group, minlength=1)[group]


def _hits(group: np.ndarray, repeated: np.ndarray, n: int) -> np.ndarray:
    """Positions at which an n-gram counts as repeated, going through the texts from left to right."""
    seen: set[int] = set()
    hits: list[int] = []
    free = 0
    for at, one in zip(repeated.tolist(), group[repeated].tolist(), strict=True):
        if at < free:
            continue
        if one in seen:
            hits.append(at)
            free = at + n
        else:
            seen.add(one)
    return np.array(hits, dtype=np.int64)
