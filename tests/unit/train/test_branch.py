"""A decay that branches off a stable phase is the run that would have had this schedule from its start."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from crawl2chat.core.errors import ContractError, InputError
from crawl2chat.core.settings_guard import SpikeGuard
from crawl2chat.core.settings_optimizer import Muon, Optimizer
from crawl2chat.core.settings_training import Train
from crawl2chat.train import checkpoints
from crawl2chat.train.branch import open_branch
from crawl2chat.train.job import Job
from crawl2chat.train.metrics import read_metrics
from crawl2chat.train.worker import run_training
from crawl2chat.train.world import World

WSD: dict[str, Any] = {"learning_rate": 1e-2, "warmup_steps": 3, "schedule": "wsd", "muon": Muon(learning_rate=0.01)}


def planned(job: Job, settings: Train) -> Job:
    plan = replace(job.plan, steps=settings.steps, batch=settings.batch, log_every=1)
    recipe = {"train": settings.model_dump(mode="json"), "seed": plan.seed}
    return replace(job, plan=plan, optimizer=settings.optimizer, recipe=recipe, keep=9)


@pytest.fixture
def stable(job: Job) -> Job:
    """Forty steps, stable to step 32, with checkpoints of steps 8, 16, 24, 32, 40."""
    stable = planned(job, Train(steps=40, batch=8, optimizer=Optimizer(**WSD)))
    run_training(stable, World())
    return stable


def settings(stable: Job, step: int = 16, **changes: Any) -> Train:
    checkpoint = stable.checkpoints / f"step_{step:06d}"
    base = {"steps": 24, "batch": 8, "optimizer": Optimizer(**WSD), "branch_from": str(checkpoint)}
    return Train(**(base | changes))


def opened(stable: Job, train: Train, seed: int = 3, tokenizer: str = "t" * 64, **shape: Any) -> Any:
    return open_branch(train, seed, stable.model.to_dict() | shape, tokenizer)


def test_it_is_the_run_of_that_schedule_to_the_bit(stable: Job, tmp_path: Path) -> None:
    branch = opened(stable, settings(stable))
    assert branch.meta.step == 16 and branch.meta.tokens_seen == 16 * 8 * 16
    short = planned(replace(stable, folder=tmp_path / "short", branch=branch), settings(stable))
    assert run_training(short, World()) == 16
    share = Optimizer(**WSD, decay_share=8 / 24)
    whole = planned(replace(stable, folder=tmp_path / "whole"), settings(stable, optimizer=share, branch_from=None))
    run_training(whole, World())
    mine, theirs = (
        {row["step"]: (row["loss"], row["lr"]) for row in read_metrics(one.folder) if "loss" in row}
        for one in (short, whole)
    )
    assert list(mine) == list(range(17, 25)) and mine == {step: theirs[step] for step in mine}
    assert mine[24][1] == pytest.approx(1e-3) and mine[20][1] == pytest.approx(5.5e-3)
    ends = [checkpoints.load_for_inference(one.checkpoints / "step_000024")[0] for one in (short, whole)]
    for one, other in zip(*(end.parameters() for end in ends), strict=True):
        assert torch.equal(one, other)
    (short.checkpoints / "step_000024" / "meta.json").unlink()
    assert run_training(short, World()) == 16, "without a checkpoint of its own it begins at the branch"


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"optimizer": Optimizer(**WSD | {"learning_rate": 2e-2})}, ["optimizer.learning_rate 0.01", "0.02"]),
        (
            {"optimizer": Optimizer(**WSD | {"muon": None})},
            ["optimizer.muon {'learning_rate': 0.01", "has None"],
        ),
        ({"batch": 4}, ["train.batch 8", "has 4"]),
        ({"z_loss": 1e-4}, ["train.z_loss 0.0", "has 0.0001"]),
        ({"document_mask": True}, ["train.document_mask False", "has True"]),
        ({"precision": "bf16"}, ["train.precision fp32", "has bf16"]),
        ({"guard": SpikeGuard(threshold=6.0)}, ["train.guard.threshold 8.0", "has 6.0"]),
        ({"guard": SpikeGuard(policy="rewind")}, ["train.guard.policy skip", "has rewind"]),
        ({"batch_warmup": [{"steps": 1, "batch": 4}]}, ["train.batch_warmup []", "'batch': 4"]),
        ({"seed": 4}, ["seed 3", "has 4"]),
        ({"tokenizer": "u" * 64}, ["the tokenizer ttt", "uuu"]),
        ({"width": 32}, ["model", "'width': 16", "'width': 32"]),
        ({"step": 40}, ["step 40", "stable from step 3 to 32"]),
        ({"steps": 16}, ["of step 16, but train.steps is 16", "above 16"]),
    ],
)
def test_what_does_not_fit_is_refused_with_both_values(stable: Job, changes: dict[str, Any], parts: list[str]) -> None:
    named = {key: changes.pop(key) for key in ("seed", "tokenizer", "width") if key in changes}
    with pytest.raises(ContractError) as caught:
        opened(stable, settings(stable, **changes), **named)
    assert all(part in str(caught.value) for part in ["step_0000", *parts]), str(caught.value)


def test_the_decay_itself_may_differ(stable: Job) -> None:
    other = Optimizer(**WSD, decay_shape="sqrt", min_lr_ratio=0.0)
    assert opened(stable, settings(stable, optimizer=other)).meta.step == 16
    assert opened(stable, settings(stable, branch_from=None)) is None


def edited(stable: Job, edit: Callable[[dict[str, Any]], Any]) -> None:
    path = stable.checkpoints / "step_000016" / "meta.json"
    meta = json.loads(path.read_text())
    edit(meta)
    path.write_text(json.dumps(meta))


def test_how_often_it_is_saved_may_differ_and_what_was_not_written_yet_has_the_value_that_it_meant(
    stable: Job,
) -> None:
    def older(meta: dict[str, Any]) -> None:
        for name in ("z_loss", "document_mask", "guard"):
            del meta["recipe"]["train"][name]
        del meta["model"]["positions"]

    edited(stable, older)
    assert opened(stable, settings(stable, log_every=1, checkpoint_every=3, keep_checkpoints=7)).meta.step == 16


def test_what_bfloat16_rounds_may_not_differ(stable: Job) -> None:
    def half(meta: dict[str, Any]) -> None:
        meta["recipe"]["train"]["precision"] = "bf16"
        meta["recipe"]["bf16"] = "fsdp"

    edited(stable, half)
    branch = settings(stable, precision="bf16")
    model, digest = stable.model.to_dict(), "t" * 64
    opening = open_branch(branch, 3, model, digest, {"bf16": "fsdp"})
    assert opening is not None and opening.meta.step == 16
    with pytest.raises(ContractError, match=r"bf16 by fsdp.*has autocast"):
        open_branch(branch, 3, model, digest, {"bf16": "autocast"})


def test_a_checkpoint_of_fine_tuning_is_refused(stable: Job) -> None:
    edited(stable, lambda meta: meta["recipe"].pop("train"))
    with pytest.raises(ContractError, match=r"step_000016 does not say how it was pretrained"):
        opened(stable, settings(stable))


def test_no_checkpoint_and_a_decays_checkpoint_are_refused(stable: Job) -> None:
    with pytest.raises(InputError, match="train.branch_from: checkpoint .*step_000007"):
        opened(stable, settings(stable, step=7))
    edited(stable, lambda meta: meta["recipe"]["train"].update(branch_from="elsewhere"))
    with pytest.raises(ContractError, match="a decay that branched off itself"):
        opened(stable, settings(stable))
