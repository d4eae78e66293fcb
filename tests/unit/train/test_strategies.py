"""Every strategy computes what one process alone computes, and goes on from checkpoints of the others."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from crawl2chat.core.errors import RecipeError
from crawl2chat.core.settings_parallel import Parallel
from crawl2chat.train import checkpoints
from crawl2chat.train.loss import losses
from crawl2chat.train.metrics import read_metrics
from crawl2chat.train.optimizer import make_optimizer
from crawl2chat.train.strategies import backward, build, spread, sync_gradients
from crawl2chat.train.worker import Job, run_training
from crawl2chat.train.world import World
from crawl2chat.train.zero import ZeroOptimizer
from torch.distributed.tensor import DTensor

from .ranks import on_ranks

STEPS = 50
needs_deepspeed = pytest.mark.skipif(
    importlib.util.find_spec("deepspeed") is None,
    reason="deepspeed is not installed: pip install crawl2chat[deepspeed]",
)


@pytest.fixture
def fifty(job: Job) -> Job:
    """Fifty logged steps of two micro-batches a rank, of which the first have gradients that are clipped."""
    plan = replace(job.plan, steps=STEPS, micro_batch=1, clip_norm=0.7, log_every=1, validate_every=25)
    return replace(job, plan=replace(plan, checkpoint_every=20), keep=3, unit_parameters=1)


def under(job: Job, name: str, precision: str = "fp32", **settings: Any) -> Job:
    plan = replace(job.plan, precision=precision)
    return replace(job, folder=job.folder.parent / name, plan=plan, parallel=Parallel(**settings))


def one_rank(world: World, job: Job) -> None:
    run_training(job, world)


def assert_same_course(job: Job, others: Iterable[Job], tolerance: float = 1e-5) -> None:
    mine = {row["step"]: row for row in read_metrics(job.folder) if "loss" in row}
    bits = [row["bits_per_byte"] for row in read_metrics(job.folder) if "bits_per_byte" in row]
    assert mine[1]["grad_norm"] > job.plan.clip_norm, "nothing was clipped"
    assert mine[STEPS]["loss"] < mine[1]["loss"] - 1
    for other in others:
        rows = read_metrics(other.folder)
        logged = [row for row in rows if "loss" in row]
        assert logged[-1]["step"] == STEPS
        for row in logged:
            for key in ("loss", "grad_norm"):
                expected = pytest.approx(mine[row["step"]][key], rel=tolerance if key == "loss" else 10 * tolerance)
                assert row[key] == expected, (other.folder.name, key, row)
        measured = [row["bits_per_byte"] for row in rows if "bits_per_byte" in row]
        assert measured[-1] == pytest.approx(bits[-1], rel=tolerance)


@pytest.mark.slow
def test_ddp_fsdp_and_hybrid_sharding_on_two_and_four_workers_equal_one_process(fifty: Job) -> None:
    run_training(fifty, World())
    two = [under(fifty, "ddp-2", strategy="ddp"), under(fifty, "fsdp-2")]
    four = [under(fifty, "ddp-4", strategy="ddp"), under(fifty, "fsdp-4"), under(fifty, "hybrid", shard_over=2)]
    on_ranks(*((4, one_rank, (one,)) for one in four), *((2, one_rank, (one,)) for one in two))
    assert_same_course(fifty, [*two, *four])


@pytest.mark.slow
@needs_deepspeed
def test_zero_equals_one_process_and_its_checkpoints_are_those_of_the_others(fifty: Job) -> None:
    run_training(fifty, World())
    whole = [under(fifty, f"zero-{stage}", strategy="deepspeed", zero_stage=stage) for stage in (2, 3)]
    changed = [
        under(fifty, "zero-to-single", strategy="single"),
        under(fifty, "single-to-zero-2", strategy="deepspeed", zero_stage=2),
        under(fifty, "single-to-zero-3", strategy="deepspeed", zero_stage=3),
    ]
    for job in changed[1:]:
        shutil.copytree(fifty.checkpoints / "step_000020", job.checkpoints / "step_000020")
    on_ranks(*((2, one_rank, (one,)) for one in [*whole, *changed[1:]]))
    shutil.copytree(whole[1].checkpoints / "step_000020", changed[0].checkpoints / "step_000020")
    assert run_training(changed[0], World()) == 20
    assert_same_course(fifty, [*whole, *changed])
    assert [row["step"] for row in read_metrics(changed[1].folder) if "loss" in row] == list(range(21, STEPS + 1))


@needs_deepspeed
@pytest.mark.slow
def test_zero_on_four_workers_equals_one_process(fifty: Job) -> None:
    run_training(fifty, World())
    four = [under(fifty, f"zero-{stage}", strategy="deepspeed", zero_stage=stage) for stage in (2, 3)]
    on_ranks(*((4, one_rank, (one,)) for one in four))
    assert_same_course(fifty, four)


def updates(world: World, job: Job, stage: Literal[2, 3] | None) -> dict[str, torch.Tensor]:
    """Weights after four steps of two micro-batches, of which the second's update is left out."""
    parallel = Parallel(strategy="deepspeed", zero_stage=stage) if stage else Parallel(strategy="single")
    whole = build(job.model, 1, "fp32", world, parallel)
    model, optimizer = spread(whole, make_optimizer(whole, job.optimizer), "fp32", 1e9, world, parallel)
    rows = torch.arange(8 * 16).view(8, 16) % job.model.vocab_size
    for step in range(4):
        mine = rows[(step % 2) * 4 :][:4].tensor_split(world.size)[world.rank]
        for number, part in enumerate(mine.tensor_split(2), 1):
            sync_gradients(model, number == 2)
            backward(model, model(part).float().logsumexp(-1).square().mean() / 2)
        if step != 1:
            optimizer.step()
        optimizer.zero_grad()
    if isinstance(optimizer, ZeroOptimizer):
        return optimizer.state_dicts()[0]
    return whole.state_dict()


def left_out(world: World, job: Job, stage: Literal[2, 3], expected: dict[str, torch.Tensor]) -> None:
    for name, tensor in updates(world, job, stage).items():
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=1e-5)


@pytest.mark.slow
@needs_deepspeed
def test_zero_forgets_an_update_that_is_left_out(job: Job) -> None:
    expected = updates(World(), job, None)
    on_ranks(*((2, left_out, (job, stage, expected)) for stage in (2, 3)))


def weights(job: Job) -> dict[str, torch.Tensor]:
    path = checkpoints.newest(job.checkpoints)
    assert path is not None
    return checkpoints.load_for_inference(path)[0].state_dict()


@pytest.mark.slow
def test_bfloat16_follows_float32_and_keeps_float32_weights(fifty: Job) -> None:
    run_training(fifty, World())
    kinds = [under(fifty, "fsdp", "bf16"), under(fifty, "hybrid", "bf16", shard_over=1)]
    kinds.append(under(fifty, "ddp", "bf16", strategy="ddp"))
    if importlib.util.find_spec("deepspeed") is not None:
        kinds += [under(fifty, f"zero-{n}", "bf16", strategy="deepspeed", zero_stage=n) for n in (2, 3)]
    on_ranks(*((2, one_rank, (one,)) for one in kinds))
    expected = read_metrics(fifty.folder)[-1]["validation_loss"]
    for kind in kinds:
        found = read_metrics(kind.folder)[-1]["validation_loss"]
        assert found != expected and found == pytest.approx(expected, rel=0.03), kind.folder.name
        assert all(tensor.dtype == torch.float32 for tensor in weights(kind).values())
        rounded = [(tensor == tensor.bfloat16()).all() for name, tensor in weights(kind).items() if "norm" not in name]
        assert not any(rounded), f"{kind.folder.name}: the weights are those that were rounded"


def gradients(world: World, job: Job, parallel: Parallel) -> None:
    """A part's gradient alone is found by giving the part to all ranks: their mean is then exact in any precision."""
    whole = build(job.model, 1, "bf16", world, parallel, unit_parameters=1)
    model, optimizer = spread(whole, make_optimizer(whole, job.optimizer), "bf16", 1e9, world, parallel)
    rows = torch.randint(job.model.vocab_size, (world.size, 2, 3, 16), generator=torch.Generator().manual_seed(5))

    def reduced(parts: torch.Tensor) -> dict[str, torch.Tensor]:
        for number, part in enumerate(parts.numpy(), 1):
            sync_gradients(model, number == len(parts))
            backward(model, losses(model, part[:, :-1], part[:, 1:], "bf16", world.device)[0])
        found = {name: whole_gradient(parameter).clone() for name, parameter in whole.named_parameters()}
        optimizer.zero_grad(set_to_none=True)
        return found

    alone = [reduced(part[None]) for part in rows.flatten(0, 1)]
    found = reduced(rows[world.rank])
    for name, gradient in found.items():
        expected = torch.stack([one[name].double() for one in alone]).sum(0) / world.size
        assert gradient.dtype == torch.float32 and expected.norm() > 0
        error = (gradient.double() - expected).norm() / expected.norm()
        rounded = (expected.bfloat16().double() - expected).norm() / expected.norm()
        assert error < 1e-6 < 1e-4 < rounded, (parallel, name, error, rounded)


def whole_gradient(parameter: Any) -> torch.Tensor:
    if hasattr(parameter, "_hp_mapping"):  # ZeRO-2
        return parameter.get_full_hp_grad()
    if hasattr(parameter, "ds_id"):
        return importlib.import_module("deepspeed.utils").safe_get_full_grad(parameter)
    return parameter.grad.full_tensor() if isinstance(parameter.grad, DTensor) else parameter.grad


@pytest.mark.slow
def test_in_bfloat16_gradients_of_ranks_and_micro_batches_are_added_up_in_float32(job: Job) -> None:
    kinds = [Parallel(), Parallel(shard_over=1), Parallel(strategy="ddp")]
    if importlib.util.find_spec("deepspeed") is not None:
        kinds += [Parallel(strategy="deepspeed", zero_stage=stage) for stage in (2, 3)]
    on_ranks(*((2, gradients, (job, kind)) for kind in kinds))


def refused(world: World, job: Job) -> None:
    with pytest.raises(RecipeError, match="shard_over is 3, which does not divide the number of workers"):
        build(job.model, 1, "fp32", world, Parallel(shard_over=3))
    with pytest.raises(RecipeError, match="strategy is single on 2 workers"):
        build(job.model, 1, "fp32", world, Parallel(strategy="single"))


def test_what_does_not_fit_the_number_of_workers_is_refused(job: Job, tmp_path: Path) -> None:
    on_ranks((2, refused, (job,)))
