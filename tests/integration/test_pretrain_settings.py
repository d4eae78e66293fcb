"""The recipe's settings of training reach the workers of Ray Train."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from pathlib import Path

import pytest
from crawl2chat.core.recipe import Recipe
from crawl2chat.core.run import Run
from crawl2chat.core.runner import bring_up_to_date
from crawl2chat.train.events import read_events
from crawl2chat.train.metrics import read_metrics
from crawl2chat.train.pretrain_stage import PRETRAIN
from crawl2chat.train.worker import run_training
from crawl2chat.train.world import World

from .training_run import job_of, play_run

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def test_a_branch_with_its_batches_and_another_strategy_is_the_run_of_that_schedule(
    local_ray: None, shared_data: Path, tmp_path: Path
) -> None:
    """WSD, Muon, batch-size warm-up, micro-batches, z-loss and a spike guard that finds something in any run; DDP and
    activation checkpointing, on two workers."""
    train = {
        "steps": 40, "batch": 16, "batch_warmup": [{"steps": 6, "batch": 8}], "micro_batch": 4, "z_loss": 1e-4,
        "log_every": 2, "validate_every": 40, "checkpoint_every": 10, "keep_checkpoints": 9,
        "guard": {"policy": "rewind", "threshold": 1.0, "window": 8, "warmup": 8, "patience": 99},
        "optimizer": {"schedule": "wsd", "decay_share": 0.5, "warmup_steps": 4, "muon": {"learning_rate": 0.01}},
    }  # fmt: skip
    whole = play_run(tmp_path / "whole", shared_data, train)
    job = job_of(whole)
    run_training(job, World())
    decay = {key: value for key, value in train["optimizer"].items() if key != "decay_share"}
    train |= {"optimizer": decay, "branch_from": str(job.checkpoints / "step_000020")}
    parallel = {"strategy": "ddp", "checkpointing": "selective"}
    raw = whole.recipe.model_dump(mode="json") | {"train": train, "resources": {"parallel": parallel}}
    branch = Run(Recipe.model_validate(raw | {"storage": str(tmp_path / "branch")}))
    for stage in ("tokenizer", "shards"):
        shutil.copytree(whole.stage(stage), branch.stage(stage))
    [(_, made)] = list(bring_up_to_date([PRETRAIN], branch, nullcontext))
    assert made.counters["steps"] == 40 and made.counters["tokens_seen"] == (6 * 8 + 34 * 16) * 64
    mine, theirs = (
        {row["step"]: row for row in read_metrics(folder) if "loss" in row}
        for folder in (branch.stage("pretrain"), job.folder)
    )
    assert list(mine) == list(range(22, 41, 2))
    rewinds = [
        [(one["step"], one["rows"], one["doc_ids"]) for one in read_events(folder) if one["step"] > 20]
        for folder in (branch.stage("pretrain"), job.folder)
    ]
    assert rewinds[0] == rewinds[1] and len(rewinds[0]) == made.counters["spikes"] > 0
    for step, row in mine.items():
        for key in ("loss", "lr", "grad_norm"):
            assert row[key] == pytest.approx(theirs[step][key], rel=1e-4 if key == "grad_norm" else 1e-5)
