"""Batch-size warm-up: no row of the order is left out or seen twice, and a run resumes in mid-warm-up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crawl2chat.core.settings_training import Train
from crawl2chat.train import checkpoints
from crawl2chat.train.batch_sizes import begins
from crawl2chat.train.job import Job
from crawl2chat.train.loader import TokenDataset
from crawl2chat.train.loop import Plan, batch_indices
from crawl2chat.train.metrics import read_metrics
from crawl2chat.train.order import sample_index
from crawl2chat.train.worker import run_training
from crawl2chat.train.world import World

from .ranks import on_ranks

WARMUP = ((3, 2), (6, 4))


def test_a_steps_batch_begins_where_the_one_before_ends() -> None:
    sizes = [2] * 3 + [4] * 6 + [8] * 11
    firsts = [begins(8, WARMUP, step) for step in range(1, 22)]
    assert firsts[:5] == [0, 2, 4, 6, 10] and firsts[9] == 30
    assert np.diff(firsts).tolist() == sizes
    assert [begins(8, (), step) for step in (1, 2, 100)] == [0, 8, 792]


def test_rows_come_in_the_order_of_the_data_without_gap_or_repetition(shards: list[Path]) -> None:
    data = TokenDataset(shards, 16)
    plan = Plan(steps=60, batch=8, seed=3, batch_warmup=WARMUP)
    seen = np.concatenate([batch_indices(plan, step, data) for step in range(1, 61)])
    assert len(seen) == 3 * 2 + 6 * 4 + 51 * 8 > len(data)
    assert seen.tolist() == sample_index(3, np.arange(len(seen)), len(data)).tolist()


def test_the_recipe_gives_the_plan() -> None:
    train = Train.model_validate({"batch": 8, "batch_warmup": [{"steps": 3, "batch": 2}, {"steps": 6, "batch": 4}]})
    assert Plan.of(train, 3, "fp32").batch_warmup == WARMUP


def losses(job: Job) -> list[Any]:
    return [(row["loss"], row["tokens_seen"]) for row in read_metrics(job.folder) if "loss" in row]


def one_rank(world: World, job: Job) -> None:
    run_training(job, world)


@pytest.mark.slow
def test_it_resumes_in_mid_warm_up_to_the_bit_and_on_two_ranks(job: Job, tmp_path: Path) -> None:
    job = replace(job, plan=replace(job.plan, batch_warmup=WARMUP, micro_batch=2, log_every=1, checkpoint_every=5))
    job = replace(job, keep=4)
    run_training(job, World())
    assert [tokens // 16 for _, tokens in losses(job)] == [begins(8, WARMUP, step) for step in range(2, 22)]
    for step in (5, 10, 15, 20):
        (job.checkpoints / f"step_{step:06d}" / "meta.json").rename(tmp_path / f"{step}.json")
    (tmp_path / "5.json").rename(job.checkpoints / "step_000005" / "meta.json")  # step 5 is the only complete one
    before = losses(job)
    assert run_training(job, World()) == 5
    assert losses(job) == before
    two = replace(job, folder=tmp_path / "two")
    on_ranks((2, one_rank, (two,)))
    assert [tokens for _, tokens in losses(two)] == [tokens for _, tokens in before]
    assert [loss for loss, _ in losses(two)] == pytest.approx([loss for loss, _ in before], rel=1e-5)
    assert checkpoints.read_meta(two.checkpoints / "step_000020").tokens_seen == before[-1][1]
