"""A dictionary from 64-bit hashes to row numbers, for whole arrays of keys at a time; and, for compiled code, a small
table in which each key of a text finds the first place of its like: `scratch` for all texts, `clear` before each.
"""

from __future__ import annotations

import numpy as np

from ...core.compiled import compiled

EMPTY = np.uint64(0)
SPREAD = np.uint64(0x9E3779B97F4A7C15)  # odd


class HashTable:
    """Open addressing with linear probing, at most half full. Keys are well mixed hashes; rows count up from 0."""

    def __init__(self) -> None:
        self._keys = np.zeros(1 << 12, dtype=np.uint64)
        self._rows = np.empty(1 << 12, dtype=np.int32)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def look_up(self, keys: np.ndarray) -> np.ndarray:
        """The row of each key, int32; -1 for one that is not there."""
        return _look_up(self._keys, self._rows, keys)

    def add(self, keys: np.ndarray) -> None:
        """Enter new and distinct keys; their rows follow on the last."""
        if 2 * (self._count + len(keys)) > len(self._keys):
            self._grow(self._count + len(keys))
        _put(self._keys, self._rows, keys, np.arange(self._count, self._count + len(keys), dtype=np.int32))
        self._count += len(keys)

    def _grow(self, count: int) -> None:
        full = self._keys != EMPTY
        keys, rows = self._keys[full], self._rows[full]
        size = 1 << (2 * count - 1).bit_length()
        self._keys, self._rows = np.zeros(size, dtype=np.uint64), np.empty(size, dtype=np.int32)
        _put(self._keys, self._rows, keys, rows)


@compiled
def _slot(keys: np.ndarray, key: np.uint64) -> np.int64:
    """Where a key stands, or the free place where it would."""
    mask = len(keys) - 1
    slot = np.int64(key >> np.uint64(20)) & mask
    while keys[slot] != EMPTY and keys[slot] != key:
        slot = (slot + 1) & mask
    return slot


@compiled
def _look_up(keys: np.ndarray, rows: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    found = np.empty(len(wanted), dtype=np.int32)
    for place in range(len(wanted)):
        slot = _slot(keys, wanted[place])
        found[place] = rows[slot] if keys[slot] != EMPTY else -1
    return found


@compiled
def _put(keys: np.ndarray, rows: np.ndarray, new: np.ndarray, numbers: np.ndarray) -> None:
    for place in range(len(new)):
        slot = _slot(keys, new[place])
        keys[slot], rows[slot] = new[place], numbers[place]


@compiled
def scratch(keys: int) -> np.ndarray:
    """For texts of at most so many keys."""
    size = 4
    while size < 2 * keys:
        size *= 2
    return np.empty(size, np.int32)


@compiled
def clear(slots: np.ndarray, keys: int) -> int:
    """Make as many slots ready as so many keys need: 2 to the power of what is returned."""
    bits = 2
    while 1 << bits < 2 * keys:
        bits += 1
    slots[: 1 << bits] = -1
    return bits


@compiled
def first_place(slots: np.ndarray, bits: int, keys: np.ndarray, at: int) -> int:
    """The first place asked for whose key is that of this place: this place, if its key is new."""
    slot = np.int64((keys[at] * SPREAD) >> np.uint64(64 - bits))
    while True:
        first = slots[slot]
        if first < 0:
            slots[slot] = at
            return at
        if keys[first] == keys[at]:
            return first
        slot = (slot + 1) & ((1 << bits) - 1)
