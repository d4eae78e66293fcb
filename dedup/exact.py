"""Exact duplicates: a hash of the whole text, after what does not change what a reader reads.

Normalised: Unicode NFKC (which makes plain spaces of nearly all others), lower case, every run of ASCII white space one
space, none at the ends. Hashed: 128 bits of BLAKE2b, for which nobody can make two texts with one hash to have another
one's page dropped.

What is normalised away depends on the Unicode tables of the running Python: hashes that outlive a run, those of an
index, are compared with others of the same EXACT_VERSION and `unicodedata.unidata_version` only. Whoever changes what
comes out raises EXACT_VERSION.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

EXACT_VERSION = 1
_BLANKS = bytes.maketrans(b"\t\n\v\f\r", b" " * 5)


def normalise(text: str) -> bytes:
    """The text as exact comparison sees it, in UTF-8."""
    composed = text if text.isascii() else unicodedata.normalize("NFKC", text)
    lowered = composed.lower().encode("utf-8", "surrogatepass")
    folded = lowered.translate(_BLANKS).strip(b" ")
    while b"  " in folded:
        folded = folded.replace(b"  ", b" ")
    return folded


def exact_hashes(texts: Sequence[str]) -> np.ndarray:
    """uint64 [texts, 2]: 128 bits of each normalised text."""
    digests = [blake2b(normalise(text), digest_size=16).digest() for text in texts]
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64).reshape(-1, 2)
