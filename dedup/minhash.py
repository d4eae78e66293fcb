"""MinHash signatures (Broder 1997): two texts agree in a place with the probability of their Jaccard similarity.

A signature depends on the text and the parameters alone: not on the machine, the batch, or the versions of libraries.
Whoever changes what comes out raises VERSION, so that signatures of two kinds are never compared.
"""

from __future__ import annotations

import numpy as np

from ..core.compiled import compiled
from .hashing import stream

VERSION = 1  # of shingles and signatures together
EMPTY = np.uint32(0xFFFFFFFF)  # in every place of a text without shingles


def parameters(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """`count` hash functions x -> (x ^ flip) * odd on uint32: bijections, drawn from `seed`."""
    numbers = stream(seed, 2 * count)
    flip, odd = (numbers[:count] >> np.uint64(32)), (numbers[count:] >> np.uint64(32)) | np.uint64(1)
    return flip.astype(np.uint32), odd.astype(np.uint32)


def signatures(flat: np.ndarray, offsets: np.ndarray, count: int, seed: int) -> np.ndarray:
    """uint32 [texts, count]: for each hash function the smallest hash of each text's shingles.

    flat and offsets as `shingles` gives them. Places of a text without shingles hold EMPTY.
    """
    out = np.full((len(offsets) - 1, count), EMPTY, dtype=np.uint32)
    _minima(flat, offsets, *parameters(count, seed), out)
    return out


@compiled
def _minima(flat: np.ndarray, offsets: np.ndarray, flip: np.ndarray, odd: np.ndarray, out: np.ndarray) -> None:
    """Shingle after shingle, all hash functions side by side, which the compiler makes vector instructions of."""
    for text in range(len(offsets) - 1):
        row = out[text]
        for at in range(offsets[text], offsets[text + 1]):
            shingle = flat[at]
            for place in range(len(flip)):
                hashed = np.uint32((shingle ^ flip[place]) * odd[place])
                row[place] = min(row[place], hashed)


def jaccard(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Estimated similarity of pairs of signatures, row by row: the share of places that agree."""
    return (one == other).mean(axis=-1)
