"""Integer hashing on NumPy arrays: the same numbers on every machine, whatever libraries are installed."""

from __future__ import annotations

import numpy as np

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


def mix(values: np.ndarray) -> np.ndarray:
    """Bijection on uint64 in which every input bit moves every output bit: the finaliser of SplitMix64."""
    out = values ^ (values >> np.uint64(30))
    out *= np.uint64(0xBF58476D1CE4E5B9)
    out ^= out >> np.uint64(27)
    out *= np.uint64(0x94D049BB133111EB)
    out ^= out >> np.uint64(31)
    return out


def stream(seed: int, count: int) -> np.ndarray:
    """`count` pseudo-random uint64 numbers of SplitMix64 (Steele, Lea and Flood 2014), started at `seed`."""
    with np.errstate(over="ignore"):
        steps = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_GOLDEN) + np.uint64(seed & _MASK)
    return mix(steps)


def powers(base: int, count: int) -> np.ndarray:
    """base**0, base**1, … modulo 2**64, `count` of them."""
    factors = np.full(count, base & _MASK, dtype=np.uint64)
    factors[:1] = 1
    return np.multiply.accumulate(factors)
