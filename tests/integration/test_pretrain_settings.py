"""The recipe's settings of training reach the workers of Ray Train."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from pathlib import Path

import pytest
from crawl2chat.core.progress import Progress
from crawl2chat.core.recipe import Recipe
from crawl2chat.core.run import Run
from crawl2chat.core.stage import StageContext, bring_up_to_date
from crawl2chat.tokenize.bpe import Tokenizer
from crawl2chat.train.metrics import read_metrics
from crawl2chat.train.pretrain_stage import PRETRAIN, pretrain_job
from crawl2chat.train.worker import run_training
from crawl2chat.train.world import World

from .test_pretrain import run as run  # the fixture: a run with a tokenizer and shards

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def test_a_branch_with_its_batches_and_another_strategy_is_the_run_of_that_schedule(
    run: Run, local_ray: None, tmp_path: Path
) -> None:
    """The recipe's settings reach the workers: WSD, Muon, batch-size warm-up, z-loss, DDP, checkpointing."""
    train_settings = {
        "steps": 40, "batch": 16, "batch_warmup": [{"steps": 6, "batch": 8}], "micro_batch": 4, "z_loss": 1e-4,
        "log_every": 2, "validate_every": 40, "checkpoint_every": 10, "keep_checkpoints": 9,
        "optimizer": {"schedule": "wsd", "decay_share": 0.5, "warmup_steps": 4, "muon": {"learning_rate": 0.01}},
    }  # fmt: skip

    def other(name: str, settings: dict, parallel: dict) -> Run:
        raw = run.recipe.model_dump(mode="json") | {"name": name, "storage": str(tmp_path), "train": settings}
        made = Run(Recipe.model_validate(raw | {"resources": {"parallel": parallel}}))
        for stage in ("tokenizer", "shards"):
            shutil.copytree(run.stage(stage), made.stage(stage))
        return made

    whole = other("whole", train_settings, {})
    inputs = {name: whole.need(name) for name in PRETRAIN.inputs}
    tokenizer = Tokenizer.load(whole.stage("tokenizer") / "tokenizer.json")
    job = pretrain_job(StageContext(whole, whole.stage("pretrain"), inputs, Progress("test")), tokenizer)
    run_training(job, World())
    decay = {key: value for key, value in train_settings["optimizer"].items() if key != "decay_share"}
    checkpoint = job.checkpoints / "step_000020"
    settings = train_settings | {"optimizer": decay, "branch_from": str(checkpoint)}
    branch = other("branch", settings, {"strategy": "ddp", "checkpointing": "selective"})
    [(_, made)] = list(bring_up_to_date([PRETRAIN], branch, nullcontext))
    assert made.counters["steps"] == 40 and made.counters["tokens_seen"] == (6 * 8 + 34 * 16) * 64
    mine, theirs = (
        {row["step"]: row for row in read_metrics(folder) if "loss" in row}
        for folder in (branch.stage("pretrain"), job.folder)
    )
    assert list(mine) == list(range(22, 41, 2))
    for step, row in mine.items():
        for key in ("loss", "lr", "grad_norm"):
            assert row[key] == pytest.approx(theirs[step][key], rel=1e-4 if key == "grad_norm" else 1e-5)
