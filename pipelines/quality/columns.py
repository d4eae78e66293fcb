"""Columns that grow, and counting by owner: the two things that all measures over a batch share."""

from __future__ import annotations

from typing import Any

import numpy as np


class Column:
    """A NumPy array that rows are appended to; its memory doubles when it is full."""

    def __init__(self, kind: Any) -> None:
        self._data = np.empty(1024, dtype=kind)
        self._rows = 0

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        return self._data[rows]

    @property
    def filled(self) -> np.ndarray:
        """All rows, until the next is appended."""
        return self._data[: self._rows]

    def extend(self, values: np.ndarray) -> None:
        needed = self._rows + len(values)
        if needed > len(self._data):
            larger = np.empty(max(needed, 2 * len(self._data)), dtype=self._data.dtype)
            larger[: self._rows] = self._data[: self._rows]
            self._data = larger
        self._data[self._rows : needed] = values
        self._rows = needed


def spread(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The numbers starts[0] … starts[0] + counts[0] - 1, then those of the next pair, and so on."""
    before = np.cumsum(counts) - counts
    return np.arange(counts.sum(), dtype=np.int64) + np.repeat(starts - before, counts)


def owners(counts: np.ndarray) -> np.ndarray:
    """For each item, whose it is: 0 for the first counts[0] items, then 1, and so on."""
    return np.repeat(np.arange(len(counts), dtype=np.int64), counts)


def totals(owner: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """The sum of each owner's values (whole numbers or flags), exact up to 2**53."""
    return np.bincount(owner, weights=values, minlength=count)
