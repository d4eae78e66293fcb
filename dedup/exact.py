"""Exact duplicates: a hash of the whole text, after what does not change what a reader reads.

Normalised: Unicode NFKC, lower case, every run of white space one space, none at the ends. Hashed: 128 bits of BLAKE2b,
for which nobody can make two texts with one hash to have a third person's page dropped.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np


def normalise(text: str) -> str:
    """The text as exact comparison sees it."""
    return " ".join(unicodedata.normalize("NFKC", text).lower().split())


def exact_hashes(texts: Sequence[str]) -> np.ndarray:
    """uint64 [texts, 2]: 128 bits of each normalised text."""
    digests = [blake2b(normalise(t).encode("utf-8", "surrogatepass"), digest_size=16).digest() for t in texts]
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64).reshape(-1, 2)
