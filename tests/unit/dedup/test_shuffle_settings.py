"""Ray Data's settings while a shuffle runs. The shuffles themselves run in integration/test_dedup*.py."""

from __future__ import annotations

from typing import Any

import pytest
from crawl2chat.dedup.shuffle_stage import LEAST, MOST, _one_block_a_partition, rows_at_once
from ray.data import DataContext


def node(store: float, memory: float, cpus: float = 2.0, alive: bool = True) -> dict[str, Any]:
    """As `ray.nodes` tells of one: a resource that it has none of is absent."""
    has = {"object_store_memory": store, "memory": memory, "CPU": cpus}
    return {"Alive": alive, "Resources": {name: amount for name, amount in has.items() if amount}}


@pytest.mark.parametrize(
    ("nodes", "bytes_at_once"),
    [
        ([node(80e6, 4e9)], 2_500_000),
        ([node(20e9, 64e9), node(80e6, 4e9)], 2_500_000),
        ([node(20e9, 64e9), node(4e9, 64e6)], 2_000_000),
        ([node(20e9, 64e9), node(80e6, 4e9, cpus=0.0), node(80e6, 4e9, alive=False)], 625_000_000),
        ([node(1e6, 1e6)], LEAST),
        ([node(200e9, 900e9)], MOST),
    ],
)
def test_a_task_gets_what_the_smallest_node_that_works_has_room_for(nodes: list[Any], bytes_at_once: int) -> None:
    assert rows_at_once(nodes) == bytes_at_once


@pytest.mark.ray
def test_afterwards_the_settings_are_what_they_were(local_ray: None) -> None:
    context = DataContext.get_current()
    names = ("default_hash_shuffle_parallelism", "shuffle_input_batch_bytes", "target_max_block_size")
    before = [getattr(context, name) for name in names]
    with _one_block_a_partition(7):
        partitions, at_once, block = (getattr(context, name) for name in names)
        assert (partitions, block) == (7, None) and at_once == 16 << 20, "a 32nd of the store of a local Ray"
    assert [getattr(context, name) for name in names] == before
    assert before[1] == MOST, "Ray's default has changed"
