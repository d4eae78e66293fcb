"""What rows cost: FLOPs as published, memory as model/memory.py counts it, hours of GPUs."""

from __future__ import annotations

import pytest
from crawl2chat.core.errors import InputError
from crawl2chat.model.memory import memory
from crawl2chat.tune.costs import Plan, cost
from crawl2chat.tune.gpus import find_gpu, flops_of, hours_of
from crawl2chat.tune.table import load_table

TABLE = load_table()


@pytest.mark.parametrize(
    ("name", "published"),
    [("gpt3-125m", 2.25e20), ("gpt3-2.7b", 4.77e21), ("gpt3-13b", 2.31e22), ("gpt3-175b", 3.14e23)],
)
def test_flops_of_gpt3(name: str, published: float) -> None:
    """Brown et al. 2020, table D.1, which counts 6 N D and leaves attention out: a share that falls with the width."""
    row = TABLE[name]
    found, config = cost(row, Plan()), row.own_config()
    attention = 12 * config.layers * config.width * config.context * row.tokens
    assert found.flops - attention == pytest.approx(published, rel=0.03)
    assert found.flops == found.flops_per_token * row.tokens


def test_memory_is_that_of_a_rank() -> None:
    row = TABLE["gpt3-1.3b"]
    wanted = memory(row.own_config(), 2, "fsdp", ranks=16, precision="bf16", checkpointing="selective")
    assert cost(row, Plan(16, 2, checkpointing="selective")).memory_per_gpu == wanted.total
    alone = memory(row.own_config(), 1, "single", precision="bf16", checkpointing="full")
    assert cost(row, Plan(1)).memory_per_gpu == alone.total


def test_more_gpus_hold_less_each() -> None:
    row = TABLE["gpt3-175b"]
    few, many = (cost(row, Plan(gpus)).memory_per_gpu for gpus in (8, 512))
    assert few > find_gpu("h100").memory > many
    assert few - many == pytest.approx(16 * row.own_config().parameters() * (1 / 8 - 1 / 512), rel=0.01)


def test_hours() -> None:
    assert flops_of(2, 8, "h100", 0.5) == 2 * 3600 * 8 * 989e12 * 0.5
    assert hours_of(flops_of(24, 3, "A100"), 3, "a100") == pytest.approx(24)
    with pytest.raises(InputError, match="h1000") as caught:
        find_gpu("h1000")
    assert "h100" in caught.value.fix
