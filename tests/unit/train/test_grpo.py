"""GRPO: its gains by hand, groups as one answer at a time; reward that rises, resumed to the bit, on two ranks."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from crawl2chat.core.errors import InputError
from crawl2chat.core.settings_alignment import Grpo
from crawl2chat.core.settings_parallel import Parallel
from crawl2chat.model.config import ModelConfig
from crawl2chat.model.generation import generate
from crawl2chat.train import checkpoints
from crawl2chat.train.grpo import GrpoObjective, TaskPrompts
from crawl2chat.train.grpo_loss import divergence_estimate, gains, token_log_probs
from crawl2chat.train.job import Job
from crawl2chat.train.loader import IGNORED
from crawl2chat.train.lora import Lora
from crawl2chat.train.metrics import read_metrics
from crawl2chat.train.outcome import result
from crawl2chat.train.prefetch import rank_batch
from crawl2chat.train.sampling import sample_group
from crawl2chat.train.strategies import build
from crawl2chat.train.variant import Variant
from crawl2chat.train.watch import without_figures
from crawl2chat.train.worker import run_training
from crawl2chat.train.world import World

from .ranks import on_ranks

END = 96


@dataclass(frozen=True)
class LowTokens:
    """A trivial task: an answer is worth the share of its tokens that are of the lower half of the vocabulary."""

    end: int = END

    def prompt(self, number: int) -> list[int]:
        return [1 + number % 90, 2, 3][: 2 + number % 2]

    def reward(self, number: int, answer: list[int]) -> float:
        return sum(token < 48 for token in answer) / len(answer) if answer else 0.0


@pytest.fixture
def grpo_job(job: Job, tmp_path: Path) -> Callable[..., Job]:
    """Makes jobs that go on from a model that has hardly learned anything."""
    run_training(replace(job, plan=replace(job.plan, steps=2)), World())
    initial = job.checkpoints / "step_000002"

    def make(name: str, variant: Variant | None = None, batch: int = 4, steps: int = 12, **settings: Any) -> Job:
        own = Grpo.model_validate({"group": 6, "max_tokens": 5, "problems": 40, "held_out": 7, **settings})
        task, variant = LowTokens(), variant or Variant()
        return replace(
            job,
            folder=tmp_path / name,
            initial=initial,
            variant=variant,
            open_data=partial(TaskPrompts, task, 0, own.problems),
            open_validation=partial(TaskPrompts, task, own.problems, own.held_out),
            objective=GrpoObjective(own, task, job.model, initial, variant, seed=5),
            validate_first=True,
            plan=replace(job.plan, steps=steps, batch=batch, log_every=1, checkpoint_every=4, validate_every=6),
        )

    return make


def rows(job: Job) -> list[dict[str, Any]]:
    return [without_figures(row) for row in read_metrics(job.folder)]


def model_of(config: ModelConfig) -> Any:
    return build(config, 3, "fp32", World()).eval()


def test_gains_by_hand() -> None:
    old = torch.tensor([[-1.0, -2.0, -1.0]])
    now = old + torch.tensor([[0.0, 1.0, -1.0]]).mul(1.0)
    reference = now - 0.5
    ratio = [1.0, math.e, 1 / math.e]
    kl = math.exp(-0.5) + 0.5 - 1
    for advantage in (2.0, -2.0):
        found = gains(now, old, reference, torch.tensor([advantage]), clip=0.2, kl_weight=0.1)[0].tolist()
        clipped = [min(max(one, 0.8), 1.2) for one in ratio]
        expected = [min(r * advantage, c * advantage) - 0.1 * kl for r, c in zip(ratio, clipped, strict=True)]
        assert found == pytest.approx(expected, rel=1e-5)
    assert float(divergence_estimate(torch.tensor(-1.0), torch.tensor(-1.0))) == 0


def test_the_first_gradient_is_that_of_the_advantage_weighted_likelihood(small: ModelConfig) -> None:
    """π = π_old = π_ref: ratios are 1, and no clip and no divergence has a gradient."""
    model = model_of(small)
    inputs, targets = torch.tensor([[5, 6, 7], [5, 8, 9]]), torch.tensor([[IGNORED, 7, 3], [IGNORED, 9, IGNORED]])
    log_probs = token_log_probs(model, inputs, targets, 1.0)
    assert log_probs[1].tolist()[0] == log_probs[1].tolist()[2] == 0
    advantage = torch.tensor([1.0, -0.5])
    counted = (targets != IGNORED).sum(1)
    (-(log_probs.sum(1) / counted * advantage).sum()).backward()
    expected = {name: one.grad.clone() for name, one in model.named_parameters()}
    model.zero_grad()
    frozen = log_probs.detach().numpy()
    part = (inputs.numpy(), targets.numpy(), advantage.numpy(), frozen, frozen)
    objective = GrpoObjective(Grpo(), LowTokens(), small, Path("none"), Variant(), 0)
    objective.losses(model, part, "fp32", torch.device("cpu"))[1].backward()
    for name, one in model.named_parameters():
        torch.testing.assert_close(one.grad, expected[name], rtol=1e-4, atol=1e-6)


def first_ratios(world: World, job: Job) -> None:
    """Of the first update, in bf16, on every rank."""
    model = build(job.model, 3, "bf16", world, job.parallel, job.unit_parameters, job.variant)
    assert job.initial is not None and isinstance(job.objective, GrpoObjective)
    checkpoints.load_weights(job.initial, model, world, job.variant)
    model.train()
    batch = rank_batch(job.open_data(), 1, np.arange(4), world.rank, world.size)
    drawn = job.objective.prepare(model, batch, "bf16", world)
    reference, _ = checkpoints.load_for_inference(job.initial)
    for inputs, targets, _, old, _ in drawn.parts:
        rows = (torch.from_numpy(inputs), torch.from_numpy(targets))
        with torch.no_grad():
            now, exact = token_log_probs(model, *rows, 1.0, "bf16"), token_log_probs(reference, *rows, 1.0)
        assert torch.equal(now, torch.from_numpy(old)), "ratios of exactly 1"
        assert not torch.allclose(now, exact, rtol=0, atol=1e-5), "float32 would have told them apart"
    assert drawn.figures["kl"] == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("variant", [Variant(), Variant(Lora(rank=4))], ids=["whole", "lora"])
def test_the_first_ratios_are_1_in_bf16(grpo_job: Callable[..., Job], variant: Variant) -> None:
    first_ratios(World(), grpo_job("alone", variant))


def test_the_first_ratios_are_1_where_bf16_is_sharded(grpo_job: Callable[..., Job]) -> None:
    """FSDP rounds otherwise than autocast does."""
    on_ranks((2, first_ratios, (replace(grpo_job("fsdp"), parallel=Parallel(strategy="fsdp"), unit_parameters=1),)))


def test_a_group_is_drawn_as_answers_one_by_one(small: ModelConfig) -> None:
    model, prompt = model_of(small), [3, 4, 5]
    [greedy] = sample_group(model, prompt, 1, 6, 0, -1, 0)
    assert greedy == list(generate(model, prompt, max_tokens=6, temperature=0))
    again = sample_group(model, prompt, 4, 6, 0, greedy[2], 0)
    assert again == [greedy[: greedy.index(greedy[2]) + 1]] * 4, "an answer ends with its end"
    drawn = sample_group(model, prompt, 64, 6, 1.0, -1, 3)
    assert drawn == sample_group(model, prompt, 64, 6, 1.0, -1, 3) != sample_group(model, prompt, 64, 6, 1.0, -1, 4)
    assert len({tuple(one) for one in drawn}) > 50
    assert len(sample_group(model, prompt, 1, 100, 0, -1, 0)[0]) == small.context - 3 + 1, "up to the context's end"
    with pytest.raises(InputError, match="the model's context is 16"):
        sample_group(model, [1] * 17, 1, 1, 0, -1, 0)


def test_the_mean_reward_rises(grpo_job: Callable[..., Job]) -> None:
    job = grpo_job("rises", steps=30, batch=4, group=8)
    run_training(job, World())
    found = [row["reward"] for row in rows(job) if "reward" in row]
    assert np.mean(found[:3]) < 0.65 and np.mean(found[-3:]) > np.mean(found[:3]) + 0.25
    held_out = [row for row in rows(job) if "held_out_reward" in row]
    assert held_out[0]["divergence"] == pytest.approx(0, abs=1e-6) and held_out[-1]["divergence"] > 0.01
    counters = result(job, {}).counters
    assert counters["held_out_reward"] > counters["held_out_reward_before"]
    first = next(row for row in rows(job) if "reward" in row)
    assert {"answer_tokens", "answers_ended_share", "groups_of_one_mind", "kl"} <= first.keys()
    assert first["tokens_seen"] == round(first["answer_tokens"] * 32) and first["kl"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("updates", [1, 2])
@pytest.mark.parametrize("variant", [Variant(), Variant(Lora(rank=4))], ids=["whole", "lora"])
def test_resuming_is_bit_identical(grpo_job: Callable[..., Job], updates: int, variant: Variant) -> None:
    whole, stopped = (grpo_job(name, variant, updates=updates) for name in ("whole", "stopped"))
    run_training(whole, World())

    def stop(checkpoint: Path, row: dict[str, Any]) -> None:
        raise KeyError

    with pytest.raises(KeyError):
        run_training(stopped, World(), stop)
    again = grpo_job("stopped", variant, updates=updates)  # as a new process has it: without the answers of a round
    assert run_training(again, World()) == 4
    assert rows(again) == rows(whole)
    paths = [checkpoints.newest(one.checkpoints) for one in (whole, again)]
    mine, theirs = (checkpoints.load_for_inference(path)[0].state_dict() for path in paths if path)
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    rewards = [row["reward"] for row in rows(whole) if "reward" in row]
    assert updates == 1 or rewards[::2] == rewards[1::2], "two steps with the same answers"


def test_looks_on_the_way_change_no_bit(grpo_job: Callable[..., Job]) -> None:
    """Also one in the middle of a round, between two steps with the same answers."""
    plain, watched = (grpo_job(name, updates=2) for name in ("plain", "watched"))

    def look(model: torch.nn.Module, world: World) -> dict[str, float]:
        with torch.no_grad():
            return {"eval/made/figure": float(model(torch.tensor([[1, 2, 3]])).mean())}

    run_training(plain, World())
    run_training(replace(watched, probe=look, plan=replace(watched.plan, probe_every=5)), World())
    looked = [row for row in rows(watched) if "eval/made/figure" in row]
    assert [row["step"] for row in looked] == [0, 5, 10, 12]
    assert [row for row in rows(watched) if row not in looked] == rows(plain)


def one_rank(world: World, job: Job) -> None:
    run_training(job, world)


@pytest.mark.slow
def test_two_ranks_draw_and_learn_the_same(grpo_job: Callable[..., Job]) -> None:
    """A batch of three: one rank has a spare place."""
    alone = grpo_job("alone", batch=3, steps=4)
    run_training(alone, World())
    others = [
        replace(grpo_job(name, batch=3, steps=4), parallel=Parallel(strategy=name), unit_parameters=1)
        for name in ("fsdp", "ddp")
    ]
    on_ranks(*((2, one_rank, (other,)) for other in others))
    for other in others:
        for mine, theirs in zip(rows(alone), rows(other), strict=True):
            assert all(mine[key] == pytest.approx(theirs[key], rel=1e-3, abs=1e-5) for key in mine), (mine, theirs)


def test_a_spare_place_teaches_nothing() -> None:
    data = TaskPrompts(LowTokens(), 10, 5)
    first, spare = (rank_batch(data, 1, np.array([0, 1, 2]), rank, 2) for rank in range(2))
    assert first.parts[0][1].tolist() == [[10, 2], [11, 3]]
    assert spare.parts[0][1].tolist()[0] == [12, 2] and spare.parts[0][1][1, 0] == IGNORED
