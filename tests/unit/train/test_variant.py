"""LoRA through the whole loop: begun at a checkpoint, resumed to the bit, the same on two ranks, merged at the end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from crawl2chat.core.settings_alignment import Lora as Settings
from crawl2chat.core.settings_parallel import Parallel
from crawl2chat.train import checkpoints
from crawl2chat.train.job import Job
from crawl2chat.train.lora import Lora, LoraLinear, merge
from crawl2chat.train.merging import write_merged
from crawl2chat.train.metrics import read_metrics
from crawl2chat.train.outcome import result
from crawl2chat.train.variant import PLAIN, Variant
from crawl2chat.train.watch import without_figures
from crawl2chat.train.worker import run_training
from crawl2chat.train.world import World

from .ranks import on_ranks

LORA = Lora(rank=2, alpha=8.0, targets=("query", "value", "down"))


class Stop(Exception):
    pass


@pytest.fixture
def tuned(job: Job, tmp_path: Path) -> Job:
    """A job that goes on from another one's weights with low-rank differences alone."""
    run_training(job, World())
    plan = replace(job.plan, steps=12, checkpoint_every=4, log_every=2)
    initial = job.checkpoints / "step_000020"
    return replace(
        job, folder=tmp_path / "tuned", initial=initial, validate_first=True, plan=plan, variant=Variant(LORA)
    )


def newest(job: Job) -> Path:
    path = checkpoints.newest(job.checkpoints)
    assert path is not None
    return path


def rows(job: Job) -> list[dict[str, Any]]:
    return [without_figures(row) for row in read_metrics(job.folder)]


def raw(path: Path, variant: Variant) -> dict[str, torch.Tensor]:
    """What a checkpoint holds, unmerged."""
    meta = checkpoints.read_meta(path)
    assert Variant.from_dict(meta.variant) == variant
    model = variant.make(checkpoints.ModelConfig.from_dict(meta.model))
    checkpoints.load_weights(path, model, World())
    return model.state_dict()


def test_it_begins_at_the_model_and_trains_the_differences_alone(tuned: Job, job: Job) -> None:
    run_training(tuned, World())
    assert rows(tuned)[0]["validation_loss"] == rows(job)[-1]["validation_loss"]
    assert rows(tuned)[-1]["validation_loss"] < rows(tuned)[0]["validation_loss"]
    base, found = raw(job.checkpoints / "step_000020", PLAIN), raw(newest(tuned), tuned.variant)
    assert all(torch.equal(found[name], weight) for name, weight in base.items())
    assert {name.rpartition(".")[2] for name in found.keys() - base.keys()} == {"lora_a", "lora_b"}
    assert all(weight.abs().max() > 0 for name, weight in found.items() if name not in base)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_resuming_is_bit_identical_with_dropout_too(tuned: Job, tmp_path: Path, dropout: float) -> None:
    variant = Variant(replace(LORA, dropout=dropout))
    whole = replace(tuned, variant=variant, plan=replace(tuned.plan, dropout=dropout > 0))
    run_training(whole, World())
    stopped = replace(whole, folder=tmp_path / "stopped")

    def stop(checkpoint: Path, row: dict[str, Any]) -> None:
        raise Stop

    with pytest.raises(Stop):
        run_training(stopped, World(), stop)
    torch.rand(3)  # a process that resumes has another generator
    assert run_training(stopped, World()) == 4
    assert rows(stopped) == rows(whole)
    mine, theirs = raw(newest(whole), variant), raw(newest(stopped), variant)
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def one_rank(world: World, job: Job) -> None:
    run_training(job, world)


@pytest.mark.slow
def test_two_workers_learn_the_same(tuned: Job, tmp_path: Path) -> None:
    run_training(tuned, World())
    others = [
        replace(tuned, folder=tmp_path / strategy, parallel=Parallel(strategy=strategy), unit_parameters=1)
        for strategy in ("fsdp", "ddp")
    ]
    on_ranks(*((2, one_rank, (other,)) for other in others))
    for other in others:
        for mine, theirs in zip(rows(tuned), rows(other), strict=True):
            assert all(mine[key] == pytest.approx(theirs[key], rel=1e-4) for key in mine), (mine, theirs)


def test_a_finished_stage_hands_on_merged_weights(tuned: Job, job: Job) -> None:
    run_training(tuned, World())
    found = result(tuned, {})
    assert found.facts["checkpoint"] == "merged/step_000012"
    assert {Path(entry.path).parts[0] for entry in found.files} == {"merged"}
    merged = tuned.folder / found.facts["checkpoint"]
    model, meta = checkpoints.load_for_inference(merged)
    assert meta["variant"] == {} and not any(isinstance(one, LoraLinear) for one in model.modules())
    unmerged = tuned.variant.make(tuned.model)
    checkpoints.load_weights(newest(tuned), unmerged, World())
    tokens = torch.arange(16)[None]
    with torch.no_grad():
        expected = unmerged.eval()(tokens)
        torch.testing.assert_close(model(tokens), expected, rtol=1e-5, atol=1e-5)
        merge(unmerged)
        assert torch.equal(model(tokens), unmerged(tokens))
    before = (merged / "meta.json").stat().st_mtime_ns
    assert write_merged(newest(tuned), tuned.folder / "merged") == merged
    assert (merged / "meta.json").stat().st_mtime_ns == before, "it is not written again"
    again = replace(job, folder=tuned.folder.parent / "again", initial=merged, validate_first=True)
    run_training(again, World())
    assert rows(again)[0]["validation_loss"] == pytest.approx(rows(tuned)[-1]["validation_loss"], rel=1e-5)


def test_it_travels_in_a_checkpoints_description() -> None:
    for variant in (PLAIN, Variant(LORA), Variant(None, reward=True), Variant(LORA, reward=True)):
        assert Variant.from_dict(variant.to_dict()) == variant
    assert PLAIN.to_dict() == {}
    assert Variant.of(Settings(rank=3, targets=["up"])) == Variant(Lora(rank=3, targets=("up",)))
