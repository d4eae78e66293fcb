from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from crawl2chat.core.errors import InputError
from crawl2chat.train.loader import IGNORED, TokenDataset
from crawl2chat.train.prefetch import Batch, prefetch, rank_batch


@pytest.fixture
def data(shards: list[Path]) -> TokenDataset:
    return TokenDataset(shards, 16)


def test_batches_come_in_order_and_are_made_ahead_but_not_far() -> None:
    made: list[int] = []

    def make(step: int) -> Batch:
        made.append(step)
        return Batch(step, np.arange(1), 0, [])

    seen = []
    for batch in prefetch(make, 3, 20, depth=2):
        seen.append(batch.step)
        assert max(made) <= batch.step + 2
    assert seen == made == list(range(3, 21))


def test_an_error_comes_in_its_batchs_place() -> None:
    def make(step: int) -> Batch:
        if step == 4:
            raise InputError("step 4 has no rows")
        return Batch(step, np.arange(1), 0, [])

    seen = []
    with pytest.raises(InputError, match="step 4"):
        for batch in prefetch(make, 1, 9):
            seen.append(batch.step)
    assert seen == [1, 2, 3]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 9])
@pytest.mark.parametrize("micro_batch", [None, 1, 2])
def test_any_number_of_ranks_counts_every_target_of_the_batch_once(
    data: TokenDataset, size: int, micro_batch: int | None
) -> None:
    indices = np.array([9, 4, 0, 17, 30, 31, 2])
    ranks = [rank_batch(data, 1, indices, rank, size, micro_batch) for rank in range(size)]
    shapes = [[inputs.shape for inputs, _ in one.parts] for one in ranks]
    assert all(one == shapes[0] for one in shapes)  # collectives of sharded models need as many forwards everywhere
    counted = [row for one in ranks for part in one.parts for row in zip(*part, strict=True) if row[1][0] != IGNORED]
    inputs, targets = data.batch(indices)
    assert np.array_equal([row[0] for row in counted], inputs)
    assert np.array_equal([row[1] for row in counted], targets)
    assert ranks[0].counted == targets.size
