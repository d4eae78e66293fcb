"""Texts to chunks, the runs of non-blanks, each as a 64-bit hash: no string is made for a chunk that is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ...dedup.hashing import powers
from .characters import BREAK, SPACE, points, table

BASE = 0x9E6C63D0876A9A47  # of the polynomials that chunks, words and runs of words are hashed by; odd
BLANK = ord(" ")


class Cut(NamedTuple):
    """The chunks of a batch of strings, one after another."""

    joined: str  # the strings with line feeds between them
    starts: np.ndarray  # int64 [chunks], places in `joined`
    ends: np.ndarray
    owner: np.ndarray  # int64 [chunks]: which string a chunk stands in
    hashes: np.ndarray  # uint64 [chunks]
    gap: np.ndarray  # bool [chunks]: what lies before it in its string is white space other than one blank
    first: np.ndarray  # bool [chunks]: no other chunk stands before it in its line
    tail: np.ndarray  # bool [strings]: ends with white space other than one blank


def cut(strings: Sequence[str]) -> Cut:
    """Cut strings at white space."""
    joined = "\n".join(strings)
    letters = points(joined)
    bits = table()[letters]
    solid = bits & SPACE == 0
    edges = np.flatnonzero(np.diff(np.concatenate([[False], solid, [False]]).view(np.int8)))
    starts, ends = edges[::2], edges[1::2]
    borders = np.cumsum([len(one) + 1 for one in strings], dtype=np.int64)  # behind the line feed after each string
    owner = np.searchsorted(borders, starts, side="right")
    first = np.zeros(len(starts) + 1, dtype=np.bool_)
    first[:1] = True
    first[np.searchsorted(starts, np.flatnonzero(bits & BREAK))] = True  # line feeds between strings are breaks as well
    before = np.concatenate([[0], ends[:-1]])[: len(ends)]
    opens = np.concatenate([[True], owner[1:] != owner[:-1]])[: len(owner)]
    gap = ~opens & ((starts - before != 1) | (letters[before] != BLANK))
    tail = np.zeros(len(strings), dtype=np.bool_)
    last = np.append(owner[1:] != owner[:-1], True)[: len(owner)]
    rest = borders[owner[last]] - 1 - ends[last]
    tail[owner[last]] = (rest > 1) | ((rest == 1) & (letters[np.minimum(ends[last], len(letters) - 1)] != BLANK))
    return Cut(joined, starts, ends, owner, polynomial(letters[solid], ends - starts), gap, first[:-1], tail)


def polynomial(letters: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The hash of each string of letters (code points, one string after another): its first letter counts highest."""
    if not len(lengths):
        return np.zeros(0, dtype=np.uint64)
    ends = np.cumsum(lengths)
    place = np.repeat(ends - 1, lengths) - np.arange(len(letters))
    terms = (letters.astype(np.uint64) + np.uint64(1)) * powers(BASE, int(lengths.max()))[place]
    return np.add.reduceat(terms, ends - lengths)
