"""Classes of characters as one table of bits, so that whole batches are classified by one NumPy look-up."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from datatrove.utils.text import PUNCTUATION_SET

SYMBOL = 1  # datatrove's PUNCTUATION_SET: what Gopher calls symbols
ALPHA = 2  # str.isalpha
PUNCT = 4  # Unicode category P…, spaCy's is_punct
DIGIT = 8  # str.isdigit
UPPER = 16  # str.isupper
SPACE = 32  # str.isspace
BREAK = 64  # str.splitlines ends a line there; each is a space as well
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
    bits[[point for point in np.flatnonzero(bits & SPACE).tolist() if len(f"a{chr(point)}b".splitlines()) > 1]] |= BREAK
    return bits


def points(text: str) -> np.ndarray:
    """The code points of a text, uint32."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def shares(texts: Sequence[str], kinds: Sequence[int]) -> list[np.ndarray]:
    """For each class, the share of each text's characters that are of it; 0 for an empty text."""
    bits = table()[points("".join(texts))]
    sizes = np.array([len(text) for text in texts], dtype=np.int64)
    ends = np.cumsum(sizes)
    before = [np.concatenate([[0], np.cumsum(bits & kind != 0)]) for kind in kinds]
    return [(counted[ends] - counted[ends - sizes]) / np.maximum(1, sizes) for counted in before]
