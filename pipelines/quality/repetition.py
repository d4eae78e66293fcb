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
from .lexicon import Lexicon
from .tokens import Words

SALT = np.uint64(0xD1342543DE82EF95)  # odd
SPREAD = 0x9E3779B97F4A7C15  # odd


def top_characters(words: Words, lexicon: Lexicon, sizes: Sequence[int]) -> dict[int, np.ndarray]:
    """For each n: int64 [texts], 0 for a text of fewer than n words."""
    owner, texts = owners(words.counts), len(words.counts)
    reach = _reach(words, lexicon)
    begins = np.cumsum(words.counts) - words.counts
    keys = np.zeros(len(words.ids), dtype=np.uint64)
    own = words.ids.astype(np.uint64) + np.uint64(1)
    maybe = np.arange(len(keys))
    found: dict[int, np.ndarray] = {}
    for n in range(1, max(sizes, default=0) + 1):
        keys = keys[: len(own) - n + 1] * np.uint64(BASE) + own[n - 1 :]
        if n not in sizes:
            continue
        maybe = maybe[: np.searchsorted(maybe, len(keys))]
        times, at = np.ones(texts, dtype=np.int64), begins.copy()  # where nothing repeats: the first n-gram, once
        again, _, count = _repeated(_within_texts(keys, owner, words.counts, n)[maybe])
        again = maybe[again]
        maybe = again[:-1][np.diff(again) == 1]  # where a longer run repeats, this one does, and that at the next word
        np.maximum.at(times, owner[again], count)
        best = again[count == times[owner[again]]]
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
            again, number, _ = _repeated(_within_texts(keys, owner, words.counts, n))
            hits = _hits(again, number, n)
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


def _repeated(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The places of keys that stand at least twice, in order; a number that equal ones share; how many these are."""
    here = np.arange(len(keys), dtype=np.int32)
    slots = _slots(keys, SPREAD)
    last = np.empty(1 << _bits(keys), dtype=np.int32)  # not filled: only what is written next is read
    last[slots] = here
    shown = last[slots]
    earlier = np.flatnonzero(shown != here)
    maybe = np.zeros(len(keys), dtype=np.bool_)  # those that share a slot: most keys do not, and stand once
    maybe[earlier] = maybe[shown[earlier]] = True
    places = np.flatnonzero(maybe)
    number, count = _equal(keys[places])
    twice = count > 1
    return places[twice], number[twice], count[twice]


def _equal(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each key a number that equal keys share, and how many there are."""
    number = np.empty(len(keys), dtype=np.int64)
    left, factor = np.arange(len(keys)), SPREAD
    while len(left):
        factor = factor * SPREAD & 0xFFFFFFFFFFFFFFFF
        slots = _slots(keys[left], factor)
        last = np.empty(1 << _bits(left), dtype=np.int64)
        last[slots] = left
        shown = last[slots]
        same = keys[shown] == keys[left]
        number[left[same]] = shown[same]
        left = left[~same]
    return number, np.bincount(number, minlength=1)[number]


def _bits(keys: np.ndarray) -> int:
    """A table of so many bits has at least four places for a key."""
    return max(4, len(keys).bit_length() + 2)


def _slots(keys: np.ndarray, factor: int) -> np.ndarray:
    return ((keys * np.uint64(factor)) >> np.uint64(64 - _bits(keys))).astype(np.int64)


def _hits(again: np.ndarray, number: np.ndarray, n: int) -> np.ndarray:
    """Positions at which an n-gram counts as repeated, going through the texts from left to right."""
    seen = bytearray(int(number.max(initial=-1)) + 1)
    hits: list[int] = []
    free = 0
    for at, one in zip(again.tolist(), number.tolist(), strict=True):
        if at < free:
            continue
        if seen[one]:
            hits.append(at)
            free = at + n
        else:
            seen[one] = 1
    return np.array(hits, dtype=np.int64)
