"""A dictionary from 64-bit hashes to row numbers, for whole arrays of keys at a time."""

from __future__ import annotations

import numpy as np

EMPTY = np.uint64(0)


class HashTable:
    """Open addressing with linear probing, at most half full. Keys are well mixed hashes; rows count up from 0."""

    def __init__(self) -> None:
        self._bits = 12
        self._keys = np.zeros(1 << self._bits, dtype=np.uint64)
        self._rows = np.empty(1 << self._bits, dtype=np.int32)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def look_up(self, keys: np.ndarray) -> np.ndarray:
        """The row of each key, -1 for one that is not there."""
        found = np.full(len(keys), -1, dtype=np.int64)
        left, slots = np.arange(len(keys)), self._slots(keys)
        while len(left):
            there = self._keys[slots]
            hit = there == keys[left]
            found[left[hit]] = self._rows[slots[hit]]
            on = ~hit & (there != EMPTY)
            left, slots = left[on], self._next(slots[on])
        return found

    def add(self, keys: np.ndarray) -> None:
        """Enter new and distinct keys; their rows follow on the last."""
        rows = np.arange(self._count, self._count + len(keys), dtype=np.int32)
        while 2 * (self._count + len(keys)) > len(self._keys):
            self._double()
        self._put(keys, rows)
        self._count += len(keys)

    def _put(self, keys: np.ndarray, rows: np.ndarray) -> None:
        slots = self._slots(keys)
        while len(keys):
            free = self._keys[slots] == EMPTY
            self._keys[slots[free]] = keys[free]  # of those that want the same place, one is written
            mine = self._keys[slots] == keys
            self._rows[slots[mine]] = rows[mine]
            keys, rows, slots = keys[~mine], rows[~mine], self._next(slots[~mine])

    def _double(self) -> None:
        full = self._keys != EMPTY
        keys, rows = self._keys[full], self._rows[full]
        self._bits += 1
        self._keys = np.zeros(1 << self._bits, dtype=np.uint64)
        self._rows = np.empty(1 << self._bits, dtype=np.int32)
        self._put(keys, rows)

    def _slots(self, keys: np.ndarray) -> np.ndarray:
        return (keys >> np.uint64(64 - self._bits)).astype(np.int64)

    def _next(self, slots: np.ndarray) -> np.ndarray:
        return (slots + 1) & ((1 << self._bits) - 1)
