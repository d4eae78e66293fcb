"""Texts to chunks, the runs of non-blanks, each as a 64-bit hash: no string is made for a chunk that is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ...core.compiled import compiled
from .characters import BREAK, SPACE, points, table

BASE = 0x9E6C63D0876A9A47  # of the polynomials that chunks, words and runs of words are hashed by; odd
BLANK, FEED = np.uint32(ord(" ")), np.uint32(ord("\n"))


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
    ends = np.cumsum([len(one) + 1 for one in strings], dtype=np.int64) - 1  # of the strings in `joined`
    return Cut(joined, *_cut(points(joined), table(), ends))


@compiled
def _cut(letters: np.ndarray, kinds: np.ndarray, borders: np.ndarray) -> tuple[np.ndarray, ...]:
    """The columns of Cut. borders: where each string ends."""
    most = len(letters) // 2 + 1
    starts, ends, owner = np.empty(most, np.int64), np.empty(most, np.int64), np.empty(most, np.int64)
    hashes, gap, first = np.empty(most, np.uint64), np.empty(most, np.bool_), np.empty(most, np.bool_)
    tail = np.zeros(len(borders), np.bool_)
    base, one = np.uint64(BASE), np.uint64(1)
    count = place = 0
    for string in range(len(borders)):
        border = borders[string]
        blanks = plain = 0  # white space since the last chunk, and how much of it is blanks
        begins, opens = True, True  # a line; the string
        while place < border:
            kind = kinds[letters[place]]
            if kind & SPACE:
                blanks += 1
                plain += letters[place] == BLANK
                begins |= kind & BREAK != 0
                place += 1
                continue
            starts[count], owner[count], first[count] = place, string, begins
            gap[count] = not opens and (blanks != 1 or plain != 1)
            number = np.uint64(0)
            while place < border and not kinds[letters[place]] & SPACE:
                number = number * base + (np.uint64(letters[place]) + one)
                place += 1
            ends[count], hashes[count] = place, number
            count += 1
            blanks = plain = 0
            begins = opens = False
        tail[string] = not opens and blanks > 0 and (blanks != 1 or plain != 1)
        place = border + 1
    return starts[:count], ends[:count], owner[:count], hashes[:count], gap[:count], first[:count], tail


@compiled
def polynomial(letters: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The hash of each string of letters (code points, one string after another): its first letter counts highest."""
    hashes = np.empty(len(lengths), np.uint64)
    base, one = np.uint64(BASE), np.uint64(1)
    place = 0
    for string in range(len(lengths)):
        number = np.uint64(0)
        for _ in range(lengths[string]):
            number = number * base + (np.uint64(letters[place]) + one)
            place += 1
        hashes[string] = number
    return hashes
