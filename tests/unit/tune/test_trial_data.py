"""The part of the validation rows that trials are compared on."""

from __future__ import annotations

import numpy as np
from crawl2chat.tune.trial import EvenSample


class Numbered:
    """Rows that hold their own number; the last is half filled."""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return self.rows

    def batch(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return indices[:, None], indices[:, None] + 1

    def target_count(self, indices: np.ndarray) -> int:
        return int(np.where(indices == self.rows - 1, 1, 2).sum())


def test_rows_are_spread_evenly_from_first_to_last() -> None:
    sample = EvenSample(Numbered(101), 5)
    inputs, targets = sample.batch(np.arange(len(sample)))
    assert inputs[:, 0].tolist() == [0, 25, 50, 75, 100]
    assert targets[:, 0].tolist() == [1, 26, 51, 76, 101]
    assert sample.target_count(np.array([3, 4])) == 2 + 1


def test_all_rows_when_there_are_few() -> None:
    sample = EvenSample(Numbered(3), 64)
    assert sample.batch(np.arange(len(sample)))[0][:, 0].tolist() == [0, 1, 2]
