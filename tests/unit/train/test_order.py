from __future__ import annotations

import numpy as np
import pytest
from crawl2chat.train.order import keyed_permutation, sample_index


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 16, 17, 255, 257, 1000, 65_537])
@pytest.mark.parametrize("seed", [0, 1, (1 << 63) - 1])
def test_is_a_bijection(length: int, seed: int) -> None:
    image = keyed_permutation(np.arange(length), length, seed)
    assert sorted(image.tolist()) == list(range(length))


def test_a_value_does_not_depend_on_what_it_is_asked_with() -> None:
    whole = keyed_permutation(np.arange(10_000), 10_000, 3)
    assert keyed_permutation(np.array([77, 5, 9999]), 10_000, 3).tolist() == whole[[77, 5, 9999]].tolist()


def test_large_domains_need_no_memory() -> None:
    image = keyed_permutation(np.array([0, 1, 10**15 - 1]), 10**15, 9)
    assert len(set(image.tolist())) == 3 and image.max() < 10**15


def test_seeds_and_epochs_give_unrelated_orders() -> None:
    length = 20_000
    orders = [sample_index(seed, np.arange(length) + epoch * length, length) for seed in (1, 2) for epoch in (0, 1)]
    for first in range(4):
        for second in range(first):
            assert (orders[first] == orders[second]).mean() < 0.001  # 1 / length is expected
            assert abs(np.corrcoef(orders[first], orders[second])[0, 1]) < 0.04
    assert abs(np.corrcoef(orders[0], np.arange(length))[0, 1]) < 0.04


def test_every_epoch_sees_every_row_once_also_across_a_border() -> None:
    length = 37
    seen = sample_index(5, np.arange(3 * length), length).reshape(3, length)
    assert all(sorted(epoch.tolist()) == list(range(length)) for epoch in seen)
    across = sample_index(5, np.arange(length - 4, length + 4), length)
    assert across.tolist() == seen.reshape(-1)[length - 4 : length + 4].tolist()


def test_pinned_values() -> None:
    """The order of a published run must not change with a release."""
    assert sample_index(17, np.arange(8), 1000).tolist() == [459, 68, 204, 727, 736, 622, 886, 889]
