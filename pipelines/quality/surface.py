"""What the lines and paragraphs of texts say, without looking at words: plain counts on characters.

Definitions are datatrove's (pipeline/filters/gopher_repetition_filter.py, gopher_quality_filter.py,
fineweb_quality_filter.py), so that the shares come out as the same floats. Equal parts of a text are those of equal
64-bit hashes. Each function gives a column for each of its measures, a row for each text.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...core.compiled import compiled
from .characters import BREAK, SPACE, TERMINAL, points, table
from .cutting import BASE, FEED
from .hash_table import clear, first_place, scratch

HASH, DOT, ELLIPSIS, BULLET, DASH = (np.uint32(ord(char)) for char in "#.…•-")
Columns = dict[str, np.ndarray]


def repetition(texts: Sequence[str]) -> Columns:
    """Gopher repetition: repeated paragraphs and their characters, repeated lines and theirs, each as a share."""
    paragraphs, paragraphs_again, paragraph_characters, lines, lines_again, line_characters = _repetition(
        *_joined(texts)
    )
    size = np.maximum(1, [len(text) for text in texts])
    return {
        "dup_para_frac": paragraphs_again / paragraphs,
        "dup_para_char_frac": paragraph_characters / size,
        "dup_line_frac": lines_again / lines,
        "dup_line_char_frac": line_characters / size,
    }


def marks(texts: Sequence[str], words: np.ndarray) -> Columns:
    """Gopher quality: hashes and ellipses a word; of the lines, those that begin with a bullet or trail off."""
    lines, hashes, ellipses, bullets, trailing = _marks(*_joined(texts))
    words, lines = np.maximum(1, words), np.maximum(1, lines)
    return {
        "hash_ratio": hashes / words,
        "ellipsis_ratio": ellipses / words,
        "bullet_lines_ratio": bullets / lines,
        "ellipsis_lines_ratio": trailing / lines,
    }


def fineweb(texts: Sequence[str], words: np.ndarray, short: int) -> Columns:
    """FineWeb: lines that hold something; of these the shares that end a sentence, that are short; characters in
    repeated ones as a share; line feeds a word."""
    lines, ended, brief, characters, feeds = _fineweb(*_joined(texts), short)
    size = np.maximum(1, lines)
    return {
        "line_count": lines,
        "line_punct_ratio": ended / size,
        "short_line_ratio": brief / size,
        "char_dup_ratio": characters / np.maximum(1, [len(text) for text in texts] - feeds),
        "list_ratio": feeds / np.maximum(1, words),
    }


def _joined(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All characters, the classes of characters, and how many each text has."""
    return points("".join(texts)), table(), np.array([len(text) for text in texts], dtype=np.int64)


@compiled
def _repetition(letters: np.ndarray, kinds: np.ndarray, counts: np.ndarray) -> np.ndarray:
    found = np.zeros((6, len(counts)), np.float64)
    most = (counts.max() if len(counts) else 0) + 1
    keys, sizes, slots = np.empty(most, np.uint64), np.empty(most, np.int64), scratch(most)
    begin = 0
    for text in range(len(counts)):
        end = begin + counts[text]
        first, last = begin, end
        while first < last and kinds[letters[first]] & SPACE:
            first += 1
        while first < last and kinds[letters[last - 1]] & SPACE:
            last -= 1
        parts = _split(letters, first, last, 2, keys, sizes)
        again, characters = _repeated(parts, keys, sizes, slots)
        found[0, text], found[1, text], found[2, text] = parts, again, characters
        parts = _split(letters, begin, end, 1, keys, sizes)
        again, characters = _repeated(parts, keys, sizes, slots)
        found[3, text], found[4, text], found[5, text] = parts, again, characters
        begin = end
    return found


@compiled
def _split(letters: np.ndarray, begin: int, end: int, feeds: int, keys: np.ndarray, sizes: np.ndarray) -> int:
    """Split at runs of so many line feeds and more: hash and size of each part, and how many there are."""
    base, one = np.uint64(BASE), np.uint64(1)
    parts, number, start, place = 0, np.uint64(0), begin, begin
    while place < end:
        stop = place
        while stop < end and letters[stop] == FEED:
            stop += 1
        if stop - place >= feeds:
            keys[parts], sizes[parts] = number, place - start
            parts += 1
            number, start, place = np.uint64(0), stop, stop
        else:
            number = number * base + (np.uint64(letters[place]) + one)
            place += 1
    keys[parts], sizes[parts] = number, end - start
    return parts + 1


@compiled
def _repeated(parts: int, keys: np.ndarray, sizes: np.ndarray, slots: np.ndarray) -> tuple[int, int]:
    """Parts that stood before, and their characters."""
    bits = clear(slots, parts)
    again = characters = 0
    for part in range(parts):
        if first_place(slots, bits, keys, part) != part:
            again += 1
            characters += sizes[part]
    return again, characters


@compiled
def _marks(letters: np.ndarray, kinds: np.ndarray, counts: np.ndarray) -> np.ndarray:
    found = np.zeros((5, len(counts)), np.int64)
    begin = 0
    for text in range(len(counts)):
        end = begin + counts[text]
        dots = 0
        for place in range(begin, end):
            letter = letters[place]
            found[1, text] += letter == HASH
            dots = dots + 1 if letter == DOT else 0
            if dots == 3 or letter == ELLIPSIS:
                found[2, text] += 1
                dots = 0
        while begin < end:  # as str.splitlines and str.strip do
            stop = begin
            while stop < end and not kinds[letters[stop]] & BREAK:
                stop += 1
            first, last = begin, stop
            while first < last and kinds[letters[first]] & SPACE:
                first += 1
            while first < last and kinds[letters[last - 1]] & SPACE:
                last -= 1
            if first < last:
                found[3, text] += letters[first] == BULLET or letters[first] == DASH
                dotted = last - first > 2 and letters[last - 1] == DOT == letters[last - 2] == letters[last - 3]
                found[4, text] += dotted or letters[last - 1] == ELLIPSIS
            found[0, text] += 1
            begin = stop + 1
            if begin < end and letters[stop] == 13 and letters[begin] == FEED:
                begin += 1
        begin = end
    return found


@compiled
def _fineweb(letters: np.ndarray, kinds: np.ndarray, counts: np.ndarray, short: int) -> np.ndarray:
    found = np.zeros((5, len(counts)), np.int64)
    most = (counts.max() if len(counts) else 0) + 1
    keys, sizes, slots = np.empty(most, np.uint64), np.empty(most, np.int64), scratch(most)
    base, one = np.uint64(BASE), np.uint64(1)
    begin = 0
    for text in range(len(counts)):
        end, lines = begin + counts[text], 0
        while begin <= end:
            stop, number, blank = begin, np.uint64(0), True
            while stop < end and letters[stop] != FEED:
                blank &= kinds[letters[stop]] & SPACE != 0
                number = number * base + (np.uint64(letters[stop]) + one)
                stop += 1
            if not blank:
                keys[lines], sizes[lines] = number, stop - begin
                found[1, text] += kinds[letters[stop - 1]] & TERMINAL != 0
                found[2, text] += stop - begin <= short
                lines += 1
            found[4, text] += stop < end
            begin = stop + 1
        found[0, text] = lines
        found[3, text] = _repeated(lines, keys, sizes, slots)[1]
        begin = end
    return found
