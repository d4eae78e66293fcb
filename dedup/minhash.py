"""MinHash signatures (Broder 1997): two texts agree in a place with the probability of their Jaccard similarity.

A signature depends on the text and the parameters alone: not on the machine, the batch, or the versions of libraries.
Whoever changes what comes out raises VERSION, so that signatures of two kinds are never compared.
"""

from __future__ import annotations

import numpy as np

from .hashing import stream

VERSION = 1  # of shingles and signatures together
EMPTY = np.uint32(0xFFFFFFFF)  # in every place of a text without shingles
BLOCK = 1 << 15  # shingles that are hashed at a time, so that they stay in the processor's cache


def parameters(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """`count` hash functions x -> (x ^ flip) * odd on uint32: bijections, drawn from `seed`."""
    numbers = stream(seed, 2 * count)
    flip, odd = (numbers[:count] >> np.uint64(32)), (numbers[count:] >> np.uint64(32)) | np.uint64(1)
    return flip.astype(np.uint32), odd.astype(np.uint32)


def signatures(flat: np.ndarray, offsets: np.ndarray, count: int, seed: int) -> np.ndarray:
    """uint32 [texts, count]: for each hash function the smallest hash of each text's shingles.

    flat and offsets as `shingles` gives them. Places of a text without shingles hold EMPTY.
    """
    flip, odd = parameters(count, seed)
    out = np.full((len(offsets) - 1, count), EMPTY, dtype=np.uint32)
    filled = np.flatnonzero(np.diff(offsets))
    starts, ends = offsets[filled], offsets[filled + 1]
    first = 0
    while first < len(filled):
        last = max(first + 1, int(np.searchsorted(ends, starts[first] + BLOCK, side="right")))
        block = flat[starts[first] : ends[last - 1]]
        out[filled[first:last]] = _minima(block, starts[first:last] - starts[first], flip, odd)
        first = last
    return out


def _minima(block: np.ndarray, starts: np.ndarray, flip: np.ndarray, odd: np.ndarray) -> np.ndarray:
    """[texts, count]; reduceat takes each text's minimum from its start to the next text's."""
    result = np.empty((len(flip), len(starts)), dtype=np.uint32)
    hashes = np.empty_like(block)
    for place in range(len(flip)):
        np.bitwise_xor(block, flip[place], out=hashes)
        np.multiply(hashes, odd[place], out=hashes)
        np.minimum.reduceat(hashes, starts, out=result[place])
    return result.T


def jaccard(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Estimated similarity of pairs of signatures, row by row: the share of places that agree."""
    return (one == other).mean(axis=-1)
