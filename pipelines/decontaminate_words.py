"""Words of texts and where they stand, and the hashes of runs of n words: what contamination is looked for by.

Folded away: case, accents, compatibility forms (ﬁ, ², full width), combining marks, format characters and apostrophes.
Every other character that is no letter or number separates words. In scripts without spaces each character is a word
(dedup/shingles.py). As others' copies of a text treat punctuation in other ways, there are three spellings of it:

    PLAIN     don't well-known  ->  dont well known        documents, and items
    JOINED    don't well-known  ->  dont wellknown         items, as in a copy whose punctuation was deleted
    APART     don't well-known  ->  don t well known       items, as in a copy with blanks in place of punctuation

A batch of texts becomes one array of code points, as in dedup/shingles.py; here each word also knows its characters.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..dedup.hashing import mix, powers
from ..dedup.shingles import CHARACTER_BASE, SINGLE, WORD_BASE, folding_table

PLAIN, JOINED, APART = 0, 1, 2
SPELLINGS = (PLAIN, JOINED, APART)
CHUNK = 1 << 17  # characters that are worked on at a time
_APOSTROPHES = frozenset("'`´‘’‚‛ʹʻʼʽˈ′＇")
_LETTERS_AS_THEY_ARE = ((0x3400, 0xA000), (0xAC00, 0xD7A4), (0xD800, 0xF900), (0x20000, 0x110000))


@dataclass(frozen=True)
class Words:
    """The words of some texts: text i has the words offsets[i] … offsets[i + 1] - 1."""

    hashes: np.ndarray  # uint64
    starts: np.ndarray  # int64: first character, in its own text
    stops: np.ndarray  # int64: behind the last one
    offsets: np.ndarray  # int64 [texts + 1]

    @property
    def owners(self) -> np.ndarray:
        """The text of each word."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))


def words_of(texts: Sequence[str], spelling: int = PLAIN) -> Words:
    """All words of all texts."""
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    counts = np.zeros(len(texts), dtype=np.int64)
    for owners, bases, pieces in _groups(texts):
        hashes, starts, stops, place = _words(pieces, spelling)
        shift = np.array(bases)[place]
        parts.append((hashes, starts + shift, stops + shift))
        np.add.at(counts, np.array(owners)[place], 1)
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)] if parts else [np.zeros(0, np.int64)] * 3
    return Words(columns[0].astype(np.uint64), columns[1], columns[2], np.concatenate([[0], np.cumsum(counts)]))


def grams(words: Words, lengths: Sequence[int]) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """(n, first words, hashes) of all runs of n words within a text, for each n of `lengths`, which is sorted."""
    ends = np.repeat(words.offsets[1:], np.diff(words.offsets))  # of the text that a word is in
    total = len(words.hashes)
    out = words.hashes.copy()
    size = 1
    for n in lengths:
        while size < n and len(out) > 1:
            out = out[:-1] * np.uint64(WORD_BASE)
            out += words.hashes[size : size + len(out)]
            size += 1
        first = np.flatnonzero(np.arange(total) + n <= ends) if size == n else np.zeros(0, dtype=np.int64)
        yield n, first, mix(out[first] ^ np.uint64(n))


def spelled(text: str, spelling: int = PLAIN) -> list[str]:
    """The folded words themselves, to compare the words of two texts whose hashes agree."""
    folded, _, letter, begins = _fold(np.array([ord(char) for char in text], dtype=np.uint32), spelling)
    found: list[str] = []
    for point, is_letter, is_first in zip(folded.tolist(), letter.tolist(), begins.tolist(), strict=True):
        if is_first:
            found.append(chr(point))
        elif is_letter:
            found[-1] += chr(point)
    return found


def _words(pieces: list[str], spelling: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Hash, first character and end of each word in its piece, and the piece."""
    joined = "\n".join(pieces)  # a line feed separates: no word crosses the border of two texts
    points = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    folded, source, letter, begins = _fold(points, spelling)
    starts = np.flatnonzero(begins)
    if not len(starts):
        none = np.zeros(0, dtype=np.int64)
        return none.astype(np.uint64), none, none, none
    ends = np.flatnonzero(letter & np.append(~letter[1:] | begins[1:], True))
    up, down = _powers(1 << (len(folded) - 1).bit_length())
    hashes = mix(np.add.reduceat(folded * up[: len(folded)], starts) * down[starts])
    borders = np.cumsum([0, *(len(piece) + 1 for piece in pieces)])
    place = np.searchsorted(borders, source[starts], side="right") - 1
    return hashes, source[starts] - borders[place], source[ends] + 1 - borders[place], place


def _fold(points: np.ndarray, spelling: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Folded characters (0 for a separator), the character that each comes from, is it a letter, does a word begin."""
    table = _table(spelling)
    counts = table.counts[points]
    source = np.repeat(np.arange(len(points)), counts)
    within = np.arange(len(source)) - np.repeat(np.cumsum(counts) - counts, counts)
    folded = table.flat[table.at[points[source]] + within]
    single = table.single[points[source]]
    letter = folded != 0
    begins = letter.copy()
    begins[1:] &= ~letter[:-1] | single[1:] | single[:-1]
    return folded, source, letter, begins


@dataclass(frozen=True)
class _Table:
    """What each code point becomes: counts[p] characters, from flat[at[p]] on."""

    counts: np.ndarray
    at: np.ndarray
    flat: np.ndarray
    single: np.ndarray


@lru_cache(maxsize=3)
def _table(spelling: int) -> _Table:
    """Letters that no folding changes stand for themselves; `flat` begins with the identity, which most point into."""
    counts = np.ones(0x110000, dtype=np.int64)
    at = np.zeros(0x110000, dtype=np.int64)
    flat: list[int] = [0]
    for low, high in _LETTERS_AS_THEY_ARE:
        at[low:high] = np.arange(low, high) + 1
    as_they_are = np.arange(0x110000) * (at > 0)
    for point in range(0x20000):
        if at[point]:
            continue
        becomes = _folded(chr(point), spelling)
        counts[point] = len(becomes)
        at[point] = len(flat)
        flat += becomes
    shift = len(flat)
    at = np.where(as_they_are > 0, np.arange(0x110000) + shift, at)
    everything = np.concatenate([np.array(flat, dtype=np.uint64), np.arange(0x110000, dtype=np.uint64)])
    return _Table(counts, at, everything, folding_table() >= SINGLE)


def _folded(char: str, spelling: int) -> list[int]:
    """The letters and numbers that a character stands for; [0] for a separator; nothing for what is dropped."""
    if char in _APOSTROPHES:
        return [0] if spelling == APART else []
    found: list[int] = []
    for one in unicodedata.normalize("NFKD", char).casefold():
        kind = unicodedata.category(one)
        if kind[0] in "LN" or kind == "Mc" or (kind == "Cn" and ord(one) < 0x1F000):
            found.append(ord(one))
        elif not (kind in ("Mn", "Me", "Cf") or (spelling == JOINED and kind[0] in "PS")):
            found.append(0)
    return [0] if found and not any(found) else found


def _groups(texts: Sequence[str]) -> Iterator[tuple[list[int], list[int], list[str]]]:
    """Pieces of texts in groups of about CHUNK characters: whose they are, and where they begin in them."""
    owners: list[int] = []
    bases: list[int] = []
    pieces: list[str] = []
    size = 0
    for owner, text in enumerate(texts):
        begin = 0
        while begin < len(text):
            end = _end(text, begin)
            owners.append(owner)
            bases.append(begin)
            pieces.append(text[begin:end])
            size += end - begin + 1
            begin = end
            if size > CHUNK:
                yield owners, bases, pieces
                owners, bases, pieces, size = [], [], [], 0
    if pieces:
        yield owners, bases, pieces


def _end(text: str, begin: int) -> int:
    """Where a piece that begins here ends: at white space if there is any."""
    end = begin + CHUNK
    if end >= len(text):
        return len(text)
    space = max(text.rfind(" ", begin, end), text.rfind("\n", begin, end))
    return space if space > begin else end


@lru_cache(maxsize=4)
def _powers(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Powers of the base and of its inverse."""
    return powers(CHARACTER_BASE, count), powers(pow(CHARACTER_BASE, -1, 1 << 64), count)
