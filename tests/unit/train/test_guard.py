"""Batches that would ruin a run: which are found, and that the run gets over them."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from crawl2chat.core.errors import StageError
from crawl2chat.core.settings_guard import SpikeGuard
from crawl2chat.core.settings_optimizer import Optimizer
from crawl2chat.core.settings_parallel import Parallel
from crawl2chat.model.config import ModelConfig
from crawl2chat.train import checkpoints, objective
from crawl2chat.train.batch_trace import batch_doc_ids
from crawl2chat.train.events import read_events
from crawl2chat.train.guard import Guard, History, Rewind, after_rewind, find_spike
from crawl2chat.train.loader import TokenDataset
from crawl2chat.train.loop import batch_indices, clip_gradients
from crawl2chat.train.metrics import read_metrics
from crawl2chat.train.optimizer import make_optimizer
from crawl2chat.train.strategies import build, spread
from crawl2chat.train.worker import Job, run_training
from crawl2chat.train.world import World

from .conftest import write
from .ranks import on_ranks

SETTINGS = SpikeGuard(window=16, warmup=8)
QUIET = [[2.0 + 0.01 * (n % 5), 1.0 + 0.1 * (n % 3)] for n in range(16)]
STEPS = 160
BAD_STEPS = range(141, 146)
NAN_STEP = 70


@pytest.mark.parametrize(
    ("loss", "norm", "reason"),
    [
        (2.05, 1.3, None),
        (0.5, 0.01, None),  # low is no spike
        (2.5, 1.3, "loss is 2.5"),
        (2.0, 30.0, "norm is 30"),
        (math.nan, 1.0, "loss is nan"),
        (2.0, math.inf, "norm inf"),
    ],
)
def test_what_is_a_spike_after_a_quiet_stretch(loss: float, norm: float, reason: str | None) -> None:
    found = find_spike(QUIET, loss, norm, SETTINGS)
    assert found is None if reason is None else found is not None and reason in found


def test_before_the_warm_up_only_what_is_not_finite_is_one() -> None:
    assert find_spike(QUIET[:7], 50.0, 1e6, SETTINGS) is None
    assert find_spike([], math.inf, 1.0, SETTINGS)


def test_wild_values_in_the_history_do_not_hide_the_next_one() -> None:
    wild = [*QUIET[:10], *([[9.0, 50.0]] * 3)]
    assert find_spike(wild, 9.0, 1.0, SETTINGS)


def test_the_history_keeps_the_newest_applied_updates_only() -> None:
    guard = Guard(SETTINGS)
    for loss, norm in QUIET * 3:
        assert guard.judge(loss, norm) is None
    assert guard.judge(99.0, 1.0) and guard.history.in_a_row == 1 and guard.history.events == 1
    assert guard.history.recent == QUIET
    assert guard.judge(2.0, 1.0) is None and guard.history.in_a_row == 0
    assert len(guard.history.recent) == 16 and guard.history.recent[-1] == [2.0, 1.0]


def test_after_a_rewind_positions_go_on_behind_the_spikes_batch() -> None:
    batch, checkpoint = 8, 20
    found = History(recent=QUIET, shifts=[[11, 40]], events=1)
    spiked = History(recent=QUIET, shifts=[[11, 40]], events=2)
    position = batch * 25 + spiked.shift(25)  # of the first row behind the batch of step 25
    after = after_rewind(found, spiked, Rewind(25, position), checkpoint, batch * checkpoint, patience=2)
    assert [after.shift(step) for step in (1, 10, 11, 20)] == [0, 0, 40, 40]
    assert batch * checkpoint + after.shift(21) == position
    assert after.recent == QUIET and after.events == 2 and after.rewinds == [20, 1]
    again = after_rewind(found, after, Rewind(21, batch * 21 + after.shift(21)), checkpoint, batch * checkpoint, 2)
    assert again.rewinds == [20, 2] and again.shift(21) == after.shift(21) + batch
    with pytest.raises(StageError, match="after 2 rewinds to the checkpoint of step 20"):
        after_rewind(found, again, Rewind(21, 0), checkpoint, 0, patience=2)


class Poisoned(TokenDataset):
    """Rows of which some are poisoned: their targets are scrambled, and the loss blows up."""

    def __init__(self, paths: list[Path], context: int, bad: frozenset[int]) -> None:
        super().__init__(paths, context)
        self.bad = bad

    def batch(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        inputs, targets = super().batch(indices)
        bad = np.isin(indices, list(self.bad))
        targets[bad] = (targets[bad] * 31 + indices[bad][:, None]) % 97
        return inputs, targets


class Reading:
    """What opens the data: it travels with the job."""

    def __init__(self, paths: list[Path], bad: frozenset[int] = frozenset()) -> None:
        self.paths, self.bad = paths, bad

    def __call__(self) -> TokenDataset:
        return Poisoned(self.paths, 16, self.bad)


@pytest.fixture
def shards(tmp_path: Path) -> list[Path]:
    """So many documents that no row is seen twice: counting in threes, from anywhere."""
    rng = np.random.default_rng(0)
    documents = [
        [*((int(rng.integers(96)) + 3 * np.arange(int(rng.integers(30, 90)))) % 96 + 1).tolist(), 0] for _ in range(400)
    ]
    return [write(tmp_path / "train" / f"s-{n}.arrow", documents[n * 200 : (n + 1) * 200]) for n in range(2)]


@pytest.fixture
def clean(job: Job, shards: list[Path]) -> Job:
    plan = replace(job.plan, steps=STEPS, log_every=1, validate_every=STEPS, checkpoint_every=28, guard=SETTINGS)
    return replace(job, plan=plan, open_data=Reading(shards))


def poisoned(clean: Job, shards: list[Path], folder: Path, policy: str) -> Job:
    """The same job with poison in the rows of BAD_STEPS."""
    data = Reading(shards)()
    bad = frozenset(int(row) for step in BAD_STEPS for row in batch_indices(clean.plan, step, data))
    guard = None if policy == "off" else SETTINGS.model_copy(update={"policy": policy})
    plan = replace(clean.plan, guard=guard)
    return replace(clean, plan=plan, folder=folder, open_data=Reading(shards, bad))


def final_loss(job: Job) -> float:
    return read_metrics(job.folder)[-1]["validation_loss"]


def test_a_clean_run_is_not_touched_by_the_guard(clean: Job, tmp_path: Path) -> None:
    run_training(clean, World())
    off = replace(clean, folder=tmp_path / "off", plan=replace(clean.plan, guard=None))
    run_training(off, World())
    assert read_events(clean.folder) == [] and final_loss(off) == final_loss(clean)


def test_a_run_with_poisoned_batches_ends_as_a_clean_one(clean: Job, shards: list[Path], tmp_path: Path) -> None:
    run_training(clean, World())
    unguarded = poisoned(clean, shards, tmp_path / "off", "off")
    run_training(unguarded, World())
    assert final_loss(unguarded) > 1.02 * final_loss(clean)
    for policy in ("skip", "rewind"):
        guarded = poisoned(clean, shards, tmp_path / policy, policy)
        run_training(guarded, World())
        assert final_loss(guarded) == pytest.approx(final_loss(clean), rel=0.01)
        check_events(guarded, shards, policy)


def check_events(guarded: Job, shards: list[Path], policy: str) -> None:
    events = read_events(guarded.folder)
    assert events and all(one["action"] == policy and "deviations" in one["reason"] for one in events)
    rows = batch_indices(guarded.plan, BAD_STEPS[0], guarded.open_data())
    assert events[0]["step"] == BAD_STEPS[0] and events[0]["rows"] == rows.tolist()
    assert events[0]["doc_ids"] == batch_doc_ids(Reading(shards)(), rows)
    assert set(events[0]["doc_ids"]) <= {f"{path.stem}/{n}" for path in shards for n in range(200)}


class Infinite:
    """Stands in for the loop's losses: not a number on one rank, at one step."""

    def __init__(self, rank: int, number: int, then: Callable[..., tuple[torch.Tensor, torch.Tensor]]) -> None:
        self.rank, self.number, self.then, self.calls = rank, number, then, 0

    def __call__(self, *arguments: Any) -> tuple[torch.Tensor, torch.Tensor]:
        self.calls += 1
        nats, objective = self.then(*arguments)
        factor = float("nan") if self.calls == self.number and self.rank == 0 else 1.0
        return nats * factor, objective * factor


def one_rank(world: World, job: Job) -> None:
    objective.losses, then = Infinite(world.rank, NAN_STEP, objective.losses), objective.losses
    try:
        run_training(job, world)
    finally:
        objective.losses = then


def unlike_processors(world: World, config: ModelConfig) -> None:
    """Ranks whose own norms differ in the last bits clip alike, and judge alike."""
    parallel = Parallel(strategy="ddp")
    whole = build(config, 1, "fp32", world, parallel)
    model, _ = spread(whole, make_optimizer(whole, Optimizer()), "fp32", 1.0, world, parallel)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 1 + 1e-6 * world.rank)
    first, second = world.gather(float(clip_gradients(model, 0.5, world)))
    assert first == second


@pytest.mark.slow
def test_two_workers_get_over_poison_and_not_a_number_as_one_does(
    clean: Job, shards: list[Path], tmp_path: Path
) -> None:
    run_training(clean, World())
    clean = replace(clean, plan=replace(clean.plan, checkpoint_every=23))  # one right before each of the two spikes
    jobs = {
        (policy, strategy): replace(
            poisoned(clean, shards, tmp_path / f"{policy}-{strategy}", policy), parallel=Parallel(strategy=strategy)
        )
        for policy, strategy in (("skip", "fsdp"), ("rewind", "fsdp"), ("rewind", "ddp"))
    }
    on_ranks((2, unlike_processors, (clean.model,)), *((2, one_rank, (job,)) for job in jobs.values()))
    for policy in ("skip", "rewind"):
        alone = poisoned(clean, shards, tmp_path / policy, policy)
        one_rank(World(), alone)
        assert final_loss(alone) == pytest.approx(final_loss(clean), rel=0.01)
        events = read_events(alone.folder)
        assert (events[0]["step"], events[0]["loss"], events[0]["action"]) == (NAN_STEP, "nan", policy)
        assert len(events) > 1 and all("deviations" in one["reason"] for one in events[1:])
        assert (NAN_STEP in [row["step"] for row in read_metrics(alone.folder)]) == (policy == "rewind")
        for two in (job for (its, _), job in jobs.items() if its == policy):
            assert final_loss(two) == pytest.approx(final_loss(alone), rel=1e-5), two.folder.name
            assert [what_stays(one) for one in read_events(two.folder)] == [what_stays(one) for one in events]


def what_stays(event: dict[str, Any]) -> dict[str, Any]:
    """Of an event, on any number of ranks."""
    return {key: event[key] for key in ("step", "action", "rows", "doc_ids")}


def test_without_the_guard_not_a_number_ends_the_run(clean: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objective, "losses", Infinite(0, NAN_STEP, objective.losses))
    with pytest.raises(StageError, match=f"step {NAN_STEP}: the loss is nan"):
        run_training(replace(clean, plan=replace(clean.plan, guard=None)), World())


@pytest.mark.parametrize("policy", ["skip", "rewind"])
def test_patience_ends_a_run_that_gets_no_further(clean: Job, shards: list[Path], tmp_path: Path, policy: str) -> None:
    data = Reading(shards)()
    all_rows = frozenset(range(len(data))) - frozenset(
        int(row) for step in range(1, 100) for row in batch_indices(clean.plan, step, data)
    )
    guard = SETTINGS.model_copy(update={"policy": policy, "patience": 3})
    stuck = replace(clean, folder=tmp_path / "stuck", plan=replace(clean.plan, guard=guard))
    stuck = replace(stuck, open_data=Reading(shards, all_rows))
    with pytest.raises(StageError, match="events.jsonl"):
        run_training(stuck, World())
    assert len(read_events(stuck.folder)) == 4


@pytest.mark.parametrize("policy", ["skip", "rewind"])
def test_a_run_killed_after_a_spike_ends_with_the_same_bits(
    clean: Job, shards: list[Path], tmp_path: Path, policy: str
) -> None:
    whole = poisoned(clean, shards, tmp_path / "whole", policy)
    run_training(whole, World())
    killed = poisoned(clean, shards, tmp_path / "killed", policy)

    class Killed(Exception):
        pass

    def die(checkpoint: Path, row: dict[str, Any]) -> None:
        raise Killed

    for _ in range(8):  # at each of the checkpoints, of which one lies before and one behind the spikes
        with suppress(Killed):
            run_training(killed, World(), die)
    assert read_events(killed.folder) == read_events(whole.folder)
    last = [checkpoints.newest(job.checkpoints) for job in (whole, killed)]
    one, other = (checkpoints.load_for_inference(path)[0].state_dict() for path in last if path)
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())
    assert checkpoints.read_meta(last[0]).guard == checkpoints.read_meta(last[1]).guard  # type: ignore[arg-type]
