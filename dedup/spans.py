"""Repeated spans: which runs of words stand in two places or more, by hashes of all their windows.

As ExactSubstr (Lee et al. 2022, "Deduplicating Training Data Makes Language Models Better"), but without a suffix array
over the corpus. A window is `length` consecutive words of one text, as `shingles.words` cuts them: a run of at least
`length` words is repeated when each of its windows is. So that not every window need be hashed and kept, windows are
first told apart by their anchor, the least hash of the word n-grams in them (winnowing: Schleimer, Wilkerson and Aiken
2003). Equal windows have equal anchors, neighbouring windows mostly have one in common, and only windows whose anchor
stands in two places or more are looked at again.

Windows are compared by 128 bits: of n windows, n² / 2^129 pairs are expected to agree by chance, 10^-17 for 10^11.
Words enter with 64 bits each: of v different words, v² / 2^65 pairs agree by chance, one in 4,000 for 10^8 words.
"""

from __future__ import annotations

import numpy as np

from ..core.compiled import compiled

_BASES = (0xD1342543DE82EF95, 0xAF251AF3B0F025B5)  # odd, with good lattices (Steele and Vigna 2021)
_SALT = 0x2545F4914F6CDD1D  # parts the words of the second half from those of the first
_GOLDEN = 0x9E3779B97F4A7C15


def anchor_ngram(length: int) -> int:
    """Words of the n-grams whose least hash is a window's anchor: long, so that few repeat without their window, and
    short, so that a window has many, and one of them is the least of many windows.
    """
    return length // 2


def anchors(words: np.ndarray, offsets: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Each window's anchor, and whether it is a new place, not that of the window before; text after text.

    words, offsets: as from `shingles.words`. Windows per text: see `window_offsets`.
    """
    ngram = anchor_ngram(length)
    hashes = _rolled(words, offsets, ngram, np.uint64(_BASES[0]), np.uint64(0))
    return _least(hashes, window_offsets(offsets, ngram), length - ngram + 1)


def window_offsets(offsets: np.ndarray, length: int) -> np.ndarray:
    """Where each text's windows begin among all, int64 [texts + 1]; a text of n words has n - length + 1."""
    return np.concatenate([[0], np.cumsum(np.maximum(np.diff(offsets) - (length - 1), 0))]).astype(np.int64)


def window_hashes(words: np.ndarray, offsets: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """128 bits of each window, as two columns of uint64, text after text."""
    high = _rolled(words, offsets, length, np.uint64(_BASES[0]), np.uint64(_GOLDEN))
    return high, _rolled(words, offsets, length, np.uint64(_BASES[1]), np.uint64(_SALT))


def runs(positions: np.ndarray, length: int) -> list[tuple[int, int]]:
    """Spans of words, [first, last), that windows at these sorted positions cover; those that touch are one."""
    if not len(positions):
        return []
    breaks = np.flatnonzero(np.diff(positions) > length) + 1
    firsts = positions[np.concatenate([[0], breaks])]
    lasts = positions[np.concatenate([breaks - 1, [-1]])] + length
    return list(zip(firsts.tolist(), lasts.tolist(), strict=True))


@compiled
def _mixed(value: np.uint64) -> np.uint64:
    """The finaliser of SplitMix64, as `hashing.mix`."""
    value ^= value >> np.uint64(30)
    value *= np.uint64(0xBF58476D1CE4E5B9)
    value ^= value >> np.uint64(27)
    value *= np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@compiled
def _rolled(words: np.ndarray, offsets: np.ndarray, length: int, base: np.uint64, salt: np.uint64) -> np.ndarray:
    """Polynomial hashes of all runs of `length` words (Karp and Rabin 1987), modulo 2^64 and mixed."""
    total = 0
    for text in range(len(offsets) - 1):
        total += max(offsets[text + 1] - offsets[text] - (length - 1), 0)
    out = np.empty(total, dtype=np.uint64)
    leaving = np.uint64(1)
    for _ in range(length):
        leaving *= base
    at = 0
    for text in range(len(offsets) - 1):
        begin, end = offsets[text], offsets[text + 1]
        if end - begin < length:
            continue
        value = np.uint64(0)
        for place in range(begin, end):
            value = value * base + _mixed(words[place] ^ salt)
            if place - begin >= length:
                value -= leaving * _mixed(words[place - length] ^ salt)
            if place - begin >= length - 1:
                out[at] = _mixed(value)
                at += 1
    return out


@compiled
def _least(hashes: np.ndarray, offsets: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The least of each `width` consecutive hashes of a text, and whether its place is new; of equal ones the last."""
    total = 0
    for text in range(len(offsets) - 1):
        total += max(offsets[text + 1] - offsets[text] - (width - 1), 0)
    least, new = np.empty(total, dtype=np.uint64), np.empty(total, dtype=np.bool_)
    at = 0
    for text in range(len(offsets) - 1):
        chosen = -1
        for first in range(offsets[text], offsets[text + 1] - width + 1):
            before = chosen
            if chosen < first:
                chosen = first
                for place in range(first + 1, first + width):
                    if hashes[place] <= hashes[chosen]:
                        chosen = place
            elif hashes[first + width - 1] <= hashes[chosen]:
                chosen = first + width - 1
            least[at], new[at] = hashes[chosen], chosen != before
            at += 1
    return least, new
