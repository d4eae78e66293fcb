"""Ray Data's settings while a shuffle runs. The shuffles themselves run in integration/test_dedup*.py."""

from __future__ import annotations

import pytest
from crawl2chat.dedup.shuffle_stage import AGGREGATORS, _one_block_a_partition
from ray.data import DataContext
from ray.data._internal.execution.interfaces import ExecutionResources
from ray.data._internal.execution.operators.hash_shuffle import _derive_max_shuffle_aggregators


@pytest.mark.parametrize(
    ("partitions", "cpus", "actors"), [(2, 2, 2), (500, 2, 2), (500, 3200, 500), (40_000, 32_000, AGGREGATORS)]
)
def test_a_large_cluster_gathers_rows_with_more_than_128_actors(partitions: int, cpus: int, actors: int) -> None:
    """Asked of Ray's own rule for how many it starts; afterwards its settings are what they were."""
    context = DataContext.get_current()
    before = context.max_hash_shuffle_aggregators, context.default_hash_shuffle_parallelism
    with _one_block_a_partition(partitions):
        most = _derive_max_shuffle_aggregators(ExecutionResources(cpu=cpus), context)
        assert min(most, context.default_hash_shuffle_parallelism) == actors
        assert context.target_max_block_size is None
    assert (context.max_hash_shuffle_aggregators, context.default_hash_shuffle_parallelism) == before
    assert _derive_max_shuffle_aggregators(ExecutionResources(cpu=3200), context) == 128, "Ray's default has changed"
