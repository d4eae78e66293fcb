"""Repeated runs of words, by the definitions of datatrove's Gopher repetition filter (Rae et al. 2021, table A1).

`top_characters`: characters of the most frequent n-gram (words joined by blanks) times its frequency; of equally
frequent ones the first counts. `repeated_characters`: characters in n-grams that stood before in the text, where a
repeated n-gram is skipped as a whole; there the words are joined by nothing, so that "a bc" repeats "ab c".

An n-gram is one 64-bit number, made from that of the (n-1)-gram at the same place. Each text has a small table, in
which an n-gram finds the first place that its like stands at.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...core.compiled import compiled
from .cutting import BASE
from .hash_table import clear, first_place, scratch
from .lexicon import Lexicon
from .tokens import Words

Sized = dict[int, np.ndarray]


def top_characters(words: Words, lexicon: Lexicon, sizes: Sequence[int]) -> Sized:
    """For each n of the sizes, which ascend: int64 [texts], 0 for a text of fewer than n words."""
    found = _tops(words.ids, words.counts, lexicon.lengths.filled, np.array(sizes, np.int64))
    return dict(zip(sizes, found, strict=True))


def repeated_characters(words: Words, lexicon: Lexicon, sizes: Sequence[int]) -> Sized:
    """For each n of the sizes, which ascend: int64 [texts]."""
    columns = (lexicon.lengths.filled, lexicon.hashes.filled, lexicon.powers.filled)
    found = _again(words.ids, words.counts, *columns, np.array(sizes, np.int64))
    return dict(zip(sizes, found, strict=True))


@compiled
def _tops(ids: np.ndarray, counts: np.ndarray, lengths: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    found = np.zeros((len(sizes), len(counts)), np.int64)
    most = counts.max() if len(counts) else 0
    keys, times, slots = np.empty(most, np.uint64), np.empty(most, np.int32), scratch(most)
    base, one = np.uint64(BASE), np.uint64(1)
    begin = 0
    for text in range(len(counts)):
        words, done = counts[text], 0
        for row in range(len(sizes)):
            n = sizes[row]
            if n > words:
                break
            for step in range(done, n):
                for at in range(words - step):
                    start = keys[at] if step else np.uint64(0)
                    keys[at] = start * base + (np.uint64(ids[begin + at + step]) + one)
            done = n
            bits = clear(slots, words)
            best = 1
            for at in range(words - n + 1):
                first = first_place(slots, bits, keys, at)
                if first == at:
                    times[at] = 1
                else:
                    times[at] = 0
                    times[first] += 1
                    best = max(best, times[first])
            at = 0
            while times[at] != best:
                at += 1
            characters = n - 1
            for place in range(begin + at, begin + at + n):
                characters += lengths[ids[place]]
            found[row, text] = characters * best
        begin += words
    return found


@compiled
def _again(
    ids: np.ndarray,
    counts: np.ndarray,
    lengths: np.ndarray,
    hashes: np.ndarray,
    powers: np.ndarray,
    sizes: np.ndarray,
) -> np.ndarray:
    found = np.zeros((len(sizes), len(counts)), np.int64)
    most = counts.max() if len(counts) else 0
    keys, slots = np.empty(most, np.uint64), scratch(most)
    begin = 0
    for text in range(len(counts)):
        words, done = counts[text], 0
        for row in range(len(sizes)):
            n = sizes[row]
            if n > words:
                break
            for step in range(done, n):
                for at in range(words - step):
                    word = ids[begin + at + step]
                    keys[at] = (keys[at] * powers[word] if step else np.uint64(0)) + hashes[word]
            done = n
            bits = clear(slots, words)
            at = 0
            while at <= words - n:
                if first_place(slots, bits, keys, at) == at:
                    at += 1
                    continue
                for place in range(begin + at, begin + at + n):
                    found[row, text] += lengths[ids[place]]
                at += n
        begin += words
    return found
