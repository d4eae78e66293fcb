"""The order in which training sees its rows: a pure function of (seed, position), so that resuming needs no state.

A keyed permutation by a balanced Feistel network (Luby & Rackoff 1988) with cycle walking (Black & Rogaway 2002,
"Ciphers with Arbitrary Finite Domains"): O(1) memory for any number of rows, no shuffle buffer, machine code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..core.compiled import compiled

ROUNDS = 8
MASK = (1 << 64) - 1
EARLY, OTHERS = 0x6561726C79, 0x6F7468657273  # keys of the parts of an epoch: "early", "others"
Word: Any = np.uint64  # numba takes the call for a conversion, the type checker an array's scalar for one


def sample_index(seed: int, position: np.ndarray, length: int) -> np.ndarray:
    """Rows for global positions 0, 1, 2, …: every epoch of `length` positions is a permutation of its own.

    The global position of row j of the batch of step s (steps count from 1) is (s - 1) · batch + j.
    """
    position = np.asarray(position, dtype=np.int64)
    rows = np.empty_like(position)
    epochs(position.reshape(-1), length, np.uint64(seed & MASK), _half_bits(length), rows.reshape(-1))
    return rows


def early_index(seed: int, position: np.ndarray, first: int, others: Callable[[], int]) -> np.ndarray:
    """Rows for global positions, where the rows 0 … first - 1 come before the others in the first epoch.

    `others()` is the number of the others, and is asked only for positions that are not below `first`.
    """
    position = np.asarray(position, dtype=np.int64)
    rows = np.empty_like(position)
    early = position < first
    rows[early] = keyed_permutation(position[early], first, seed ^ EARLY)
    if not early.all():
        rest = others()
        behind = ~early & (position < first + rest)
        if behind.any():
            rows[behind] = first + keyed_permutation(position[behind] - first, rest, seed ^ OTHERS)
        again = position >= first + rest
        rows[again] = sample_index(seed, position[again], first + rest)
    return rows


def keyed_permutation(index: np.ndarray, length: int, seed: int) -> np.ndarray:
    """Images of `index` under the permutation of 0 … length - 1 that `seed` selects.

    The network permutes a power of four below 4 · length; a value outside the domain is sent through it again until it
    falls inside, at most some four times on average.
    """
    assert length > 0, "a permutation needs a domain"
    value = np.array(index, dtype=np.int64, ndmin=1)
    assert not value.size or 0 <= value.min() <= value.max() < length, "index outside the domain"
    out = np.empty_like(value)
    permute(value, length, np.uint64(seed & MASK), _half_bits(length), out)
    return out.reshape(np.shape(index))


def _half_bits(length: int) -> int:
    """Bits of each half of the smallest network that holds the domain."""
    return max(1, ((length - 1).bit_length() + 1) // 2)


@compiled
def finish(x: Any) -> Any:
    x = (x ^ (x >> Word(30))) * Word(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> Word(27))) * Word(0x94D049BB133111EB)
    return x ^ (x >> Word(31))


@compiled
def mix(x: Any) -> Any:
    """splitmix64 (Steele, Lea & Flood 2014): counter step and finaliser, modulo 2^64."""
    return finish(x + Word(0x9E3779B97F4A7C15))


@compiled
def permute(index: Any, length: int, seed: Any, half: int, out: Any) -> None:
    keys = np.empty(ROUNDS, dtype=np.uint64)
    for number in range(ROUNDS):
        keys[number] = mix(seed ^ mix(Word(number + 1)))
    bits, size = Word(half), Word(length)
    low = (Word(1) << bits) - Word(1)
    for at in range(len(index)):
        value = Word(index[at])
        while True:
            left, right = value >> bits, value & low
            for key in keys:
                left, right = right, left ^ (finish(right ^ key) & low)
            value = (left << bits) | right
            if value < size:
                break
        out[at] = np.int64(value)


@compiled
def epochs(position: Any, length: int, seed: Any, half: int, out: Any) -> None:
    """Each stretch of positions within one epoch goes through that epoch's permutation."""
    start = 0
    while start < len(position):
        epoch = position[start] // length
        stop = start
        while stop < len(position) and position[stop] // length == epoch:
            out[stop] = position[stop] - epoch * length
            stop += 1
        permute(out[start:stop], length, mix(seed ^ mix(Word(epoch + 1))), half, out[start:stop])
        start = stop
