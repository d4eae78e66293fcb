"""Classes of characters as one table of bits, so that whole batches are classified by one NumPy look-up."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from datatrove.utils.text import PUNCTUATION_SET, TERMINAL_PUNCTUATION

from ...core.compiled import compiled

SYMBOL = 1  # datatrove's PUNCTUATION_SET: what Gopher calls symbols
ALPHA = 2  # str.isalpha
PUNCT = 4  # Unicode category P…, spaCy's is_punct
DIGIT = 8  # str.isdigit
UPPER = 16  # str.isupper
SPACE = 32  # str.isspace
BREAK = 64  # str.splitlines ends a line there; each is a space as well
TERMINAL = 128  # datatrove's TERMINAL_PUNCTUATION: what FineWeb lets a line end with
ASSIGNED = 0x40000  # above it: no letters, digits or punctuation


@lru_cache(maxsize=1)
def table() -> np.ndarray:
    """uint8 [0x110000]: the classes of each code point."""
    bits = np.zeros(0x110000, dtype=np.uint8)
    for point in range(ASSIGNED):
        char = chr(point)
        letter, digit, space = char.isalpha(), char.isdigit(), char.isspace()
        punctuation = not letter and unicodedata.category(char)[0] == "P"
        bits[point] = ALPHA * letter | PUNCT * punctuation | DIGIT * digit | UPPER * char.isupper() | SPACE * space
    bits[[ord(char) for char in PUNCTUATION_SET]] |= SYMBOL
    bits[[ord(char) for char in TERMINAL_PUNCTUATION]] |= TERMINAL
    bits[[point for point in np.flatnonzero(bits & SPACE).tolist() if len(f"a{chr(point)}b".splitlines()) > 1]] |= BREAK
    return bits


def points(text: str) -> np.ndarray:
    """The code points of a text, uint32."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def shares(texts: Sequence[str], kinds: Sequence[int]) -> np.ndarray:
    """For each class, the share of each text's characters that are of it; 0 for an empty text: float64."""
    sizes = np.array([len(text) for text in texts], dtype=np.int64)
    return _counts(points("".join(texts)), table(), sizes, np.array(kinds, np.uint8)) / np.maximum(1, sizes)


@compiled
def _counts(letters: np.ndarray, bits: np.ndarray, sizes: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    found = np.zeros((len(kinds), len(sizes)), np.int64)
    begin = 0
    for text in range(len(sizes)):
        for letter in letters[begin : begin + sizes[text]]:
            for row in range(len(kinds)):
                found[row, text] += bits[letter] & kinds[row] != 0
        begin += sizes[text]
    return found
