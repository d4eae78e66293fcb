"""Texts to shingles: the hashes of all runs of n words or characters, for a whole batch of texts at once.

A word is a run of letters, marks and digits, lower-cased; everything else separates. In scripts that put no spaces
between words (Han, kana, Thai, Lao, Khmer, Myanmar, …) each character is a word of its own; with the unit `character`
every letter, mark and digit is. Classes of characters come from Unicode 3.2, which every Python carries unchanged, so
that a text has the same shingles under any Python version.

No string is made per word: the batch becomes one array of code points, a word's hash is a polynomial of its characters,
a shingle's a polynomial of its words' hashes.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np

from ..core.compiled import compiled
from .hashing import mix

CHARACTER_BASE = 0xD6E8FEB86659FD93
WORD_BASE = 0xA0761D6478BD642F
_BASE = np.uint64(CHARACTER_BASE)
SINGLE = np.uint32(1 << 31)  # flag in the folding table: the character is a word of its own
CHUNK = 1 << 17  # code points that are worked on at a time, so that the arrays stay in the processor's cache
_UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x2E80, 0x31FF),  # Han radicals, kana, bopomofo
    (0x3400, 0x9FFF),  # Han
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)


def shingles(texts: Sequence[str], ngram: int, unit: str = "word") -> tuple[np.ndarray, np.ndarray]:
    """Hashes of all n-word shingles, uint32, text after text, and the offsets of each text's: int64 [texts + 1].

    A text of fewer than n words has none.
    """
    hashes, counts = _combine(*words(texts, unit), ngram)
    return hashes, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def words(texts: Sequence[str], unit: str = "word") -> tuple[np.ndarray, np.ndarray]:
    """Hashes of the words of all texts, uint64, and the offsets of each text's: int64 [texts + 1]."""
    parts = [np.zeros(0, dtype=np.uint64)]
    offsets = np.zeros(len(texts) + 1, dtype=np.int64)
    for owners, pieces in _groups(texts):
        hashes, counts = _words(pieces, unit == "character")
        parts.append(hashes)
        np.add.at(offsets, np.array(owners) + 1, counts)
    return np.concatenate(parts), np.cumsum(offsets)


def _words(pieces: list[str], alone: bool) -> tuple[np.ndarray, np.ndarray]:
    """Word hashes of some CHUNK characters of text, and the number of words in each piece."""
    joined = "\n".join(pieces)  # a line feed separates: no word crosses the border of two texts
    points = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    borders = np.cumsum([0, *(len(piece) + 1 for piece in pieces)])
    hashes = np.empty(len(points), dtype=np.uint64)
    counts = np.zeros(len(pieces), dtype=np.int64)
    found = _hash_words(points, borders, folding_table(), alone, hashes, counts)
    return mix(hashes[:found]), counts


@compiled
def _hash_words(
    points: np.ndarray, borders: np.ndarray, table: np.ndarray, alone: bool, hashes: np.ndarray, counts: np.ndarray
) -> int:
    """Each word's polynomial of its characters into hashes, each piece's words into counts; their sum."""
    found = 0
    for piece in range(len(counts)):
        before = found
        inside = False  # a word may go on
        value, power = np.uint64(0), np.uint64(1)
        for at in range(borders[piece], min(borders[piece + 1], len(points))):
            folded = table[points[at]]
            if folded == 0:
                inside = False
                continue
            single = alone or folded >= SINGLE
            if single or not inside:
                if found > before:
                    hashes[found - 1] = value
                found += 1
                value, power = np.uint64(0), np.uint64(1)
            value += np.uint64(folded) * power
            power *= _BASE
            inside = not single
        if found > before:
            hashes[found - 1] = value
        counts[piece] = found - before
    return found


def word_places(text: str) -> tuple[np.ndarray, np.ndarray]:
    """Where each of the text's words, as `words` has them, starts and stops in its characters: two columns of int64."""
    starts, stops = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    at = 0
    for piece in [text] if len(text) < CHUNK else _cut(text):
        folded = folding_table()[np.frombuffer(piece.encode("utf-32-le", "surrogatepass"), dtype="<u4")]
        begins = _begins(folded)
        outside = np.append(begins | (folded == 0), True)  # no word goes on here
        starts.append(np.flatnonzero(begins) + at)
        ends = (folded != 0) & outside[1:]
        stops.append(np.flatnonzero(ends) + 1 + at)
        at += len(piece)
    return np.concatenate(starts), np.concatenate(stops)


def _begins(folded: np.ndarray) -> np.ndarray:
    """Which of the folded characters begin a word."""
    letter, single = folded != 0, folded >= SINGLE
    begins = letter.copy()
    begins[1:] &= ~letter[:-1] | single[1:] | single[:-1]
    return begins


def _combine(hashes: np.ndarray, offsets: np.ndarray, ngram: int) -> tuple[np.ndarray, np.ndarray]:
    """Shingles of consecutive word hashes that lie in one text, and how many each text has."""
    counts = np.maximum(np.diff(offsets) - (ngram - 1), 0)
    total = len(hashes) - (ngram - 1)
    if total <= 0:
        return np.zeros(0, dtype=np.uint32), counts
    out = hashes[:total].copy()
    for place in range(1, ngram):
        out *= np.uint64(WORD_BASE)
        out += hashes[place : place + total]
    inside = np.ones(len(hashes) + 1, dtype=bool)
    for back in range(1, ngram):  # a shingle that starts fewer than n words before a text's end would cross it
        at = offsets[1:] - back  # running back over the start of a short text meets only shingles that cross as well
        inside[at[at >= 0]] = False
    return (mix(out[inside[:total]]) >> np.uint64(32)).astype(np.uint32), counts


def _groups(texts: Sequence[str]) -> Iterator[tuple[list[int], list[str]]]:
    """Pieces of texts in groups of at most CHUNK characters, and whose they are. Long texts are cut at white space."""
    owners: list[int] = []
    pieces: list[str] = []
    size = 0
    for index, text in enumerate(texts):
        for piece in [text] if len(text) < CHUNK else _cut(text):
            if size + len(piece) + 1 > CHUNK:
                yield owners, pieces
                owners, pieces, size = [], [], 0
            owners.append(index)
            pieces.append(piece)
            size += len(piece) + 1
    if pieces:
        yield owners, pieces


def _cut(text: str) -> Iterator[str]:
    """Pieces shorter than CHUNK that end at white space; a run of CHUNK characters without any is broken."""
    begin = 0
    while begin < len(text):
        end = min(begin + CHUNK - 1, len(text))
        if end < len(text):
            space = max(text.rfind(" ", begin, end), text.rfind("\n", begin, end))
            end = space if space > begin else end
        yield text[begin:end]
        begin = end


@lru_cache(maxsize=1)
def folding_table() -> np.ndarray:
    """uint32 [0x110000]: each code point's lower case, 0 for a separator, with SINGLE set for a word of its own.

    Characters that Unicode 3.2 does not know are letters, except in the blocks of symbols from U+1F000 on.
    """
    table = np.zeros(0x110000, dtype=np.uint32)
    category = unicodedata.ucd_3_2_0.category
    for point in range(0x20000):
        kind = category(chr(point))
        if kind == "Cn":
            table[point] = point if point < 0x1F000 else 0
        elif kind[0] in "LMN":
            table[point] = ord(chr(point).lower()[0])
    table[0x20000:0x40000] = np.arange(0x20000, 0x40000)
    for low, high in _UNSPACED:
        table[low : high + 1] |= np.where(table[low : high + 1], SINGLE, np.uint32(0))
    return table
