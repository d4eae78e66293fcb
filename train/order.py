"""The order in which training sees its rows: a pure function of (seed, position), so that resuming needs no state.

A keyed permutation by a balanced Feistel network (Luby & Rackoff 1988) with cycle walking (Black & Rogaway 2002,
"Ciphers with Arbitrary Finite Domains"): O(1) memory for any number of rows, no shuffle buffer, vectorised.
"""

from __future__ import annotations

import numpy as np

ROUNDS = 8
MASK = (1 << 64) - 1


def sample_index(seed: int, position: np.ndarray, length: int) -> np.ndarray:
    """Rows for global positions 0, 1, 2, …: every epoch of `length` positions is a permutation of its own.

    The global position of row j of the batch of step s (steps count from 1) is (s - 1) · batch + j.
    """
    position = np.asarray(position, dtype=np.int64)
    epoch, place = np.divmod(position, length)
    rows = np.empty_like(position)
    for one in np.unique(epoch):
        here = epoch == one
        rows[here] = keyed_permutation(place[here], length, _mix(seed ^ _mix(int(one) + 1)))
    return rows


def keyed_permutation(index: np.ndarray, length: int, seed: int) -> np.ndarray:
    """Images of `index` under the permutation of 0 … length - 1 that `seed` selects.

    The network permutes a power of four below 4 · length; a value outside the domain is sent through it again until it
    falls inside, at most some four times on average.
    """
    assert length > 0, "a permutation needs a domain"
    value = np.array(index, dtype=np.uint64, ndmin=1)
    assert not value.size or int(value.max()) < length, "index outside the domain"
    half = max(1, ((length - 1).bit_length() + 1) // 2)
    keys = [_mix((seed & MASK) ^ _mix(number + 1)) for number in range(ROUNDS)]
    value = _feistel(value, half, keys)
    while (outside := np.flatnonzero(value >= length)).size:
        value[outside] = _feistel(value[outside], half, keys)
    return value.astype(np.int64).reshape(np.shape(index))


def _feistel(value: np.ndarray, half: int, keys: list[int]) -> np.ndarray:
    """One pass through the network on 2 · half bits."""
    bits, low = np.uint64(half), np.uint64((1 << half) - 1)
    left, right = value >> bits, value & low
    for key in keys:
        left, right = right, left ^ (_mix_array(right ^ np.uint64(key)) & low)
    return (left << bits) | right


def _mix_array(x: np.ndarray) -> np.ndarray:
    """splitmix64's finaliser (Steele, Lea & Flood 2014), element by element."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _mix(x: int) -> int:
    """The same on one Python integer, from splitmix64's counter step on."""
    x = (x + 0x9E3779B97F4A7C15) & MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)
