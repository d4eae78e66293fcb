"""The training loop: from one step to the last, on one process or many, without Ray.

Steps count from 1. The batch of step s has the global positions (s - 1) · batch … s · batch - 1 of the keyed order, or
those that batch-size warm-up gives it (train/batch_sizes.py); rank r of n computes its r-th n-th of them
(train/prefetch.py). What is learned the objective says (train/objective.py). The loss is the sum over the batch's
counted targets divided by their number in the whole batch, so that it depends neither on the number of ranks nor on how
the targets are spread over rows; of pairs and of sampled answers, their number takes that place. The state after step s
is a function of the state before and of s alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import get_total_norm

from ..core.errors import DivergedError
from .guard import Guard, History
from .loader import TrainData
from .mixture import row_numbers
from .objective import NextToken, Objective
from .plan import Plan
from .prefetch import Batch, prefetch, rank_batch
from .schedule import Schedule
from .strategies import backward, sync_gradients
from .watch import Watch
from .world import World
from .zero import Zero, ZeroOptimizer

Row = dict[str, Any]


@dataclass
class Hooks:
    """What the loop calls, on every rank, in this order within a step. An exception in a hook ends the loop."""

    on_log: Callable[[Row], None] = lambda row: None
    on_validate: Callable[[int], None] = lambda step: None
    on_checkpoint: Callable[[int, int], bool] = lambda step, tokens_seen: False  # True: put off to the next step
    on_spike: Callable[[Row, np.ndarray], None] = lambda event, indices: None  # before the others
    on_probe: Callable[[int], None] = lambda step: None  # after on_validate
    on_step: Callable[[int, int], None] = lambda step, tokens_seen: None  # after all the others


def train(
    model: nn.Module,
    optimizer: torch.optim.Optimizer | ZeroOptimizer,
    schedule: Schedule,
    data: TrainData,
    plan: Plan,
    world: World | None = None,
    hooks: Hooks | None = None,
    done: int = 0,
    tokens_seen: int = 0,
    history: History | None = None,
    watch: Watch | None = None,
    objective: Objective | None = None,
) -> int:
    """Run steps done + 1 … plan.steps, and return the number of targets that were counted since step 1.

    Model and optimizer hold the state after step `done`, by which `tokens_seen` targets had been counted; `history` is
    what the spike guard knew then, and is kept up to date. Raises DivergedError, on every rank, when a logged loss or
    gradient norm is not finite and no guard is on; StageError or Rewind as the guard says (train/guard.py).
    """
    world, hooks = world or World(), hooks or Hooks()
    watch, history = watch or Watch(plan.steps, done), history or History()
    objective = objective or NextToken(plan.z_loss)
    guard = Guard(plan.guard, history) if plan.guard else None

    def fetch(step: int) -> Batch:
        indices = batch_indices(plan, step, data, history.shift(step))
        return rank_batch(data, step, indices, world.rank, world.size, plan.micro_batch)

    put_off = False
    for batch in prefetch(fetch, done + 1, plan.steps):
        step = batch.step
        model.train()
        if plan.dropout:
            torch.manual_seed(plan.seed + (step * world.size + world.rank) * 1_000_003)
        batch = objective.prepare(model, batch, plan.precision, world)
        rate = schedule(step)
        for group in optimizer.param_groups:
            group["lr"] = rate * group["lr_ratio"]
        loss = _accumulate(model, batch, plan, world, objective)
        norm = clip_gradients(model, plan.clip_norm, world)
        row = {"step": step, "lr": rate}
        if guard is not None or plan.due(step, plan.log_every):
            row |= {"loss": float(world.sum(loss)), "grad_norm": float(norm)}
        if guard is None or (fault := guard.judge(row["loss"], row["grad_norm"])) is None:
            optimizer.step()
        else:
            hooks.on_spike(row | {"reason": fault, "action": guard.settings.policy}, batch.indices)
            guard.answer(step, fault, plan.begins(step + 1) + history.shift(step))
        optimizer.zero_grad(set_to_none=True)
        tokens_seen += batch.counted
        watch.add(batch.counted, batch.waited)
        if plan.due(step, plan.log_every):
            finite = math.isfinite(row["loss"]) and math.isfinite(row["grad_norm"])
            if guard is None and not finite:
                raise DivergedError(
                    f"step {step}: the loss is {row['loss']}, the gradient's norm {row['grad_norm']}",
                    "lower the learning rate, or lengthen its warm-up",
                )
            if finite:
                hooks.on_log(row | {"tokens_seen": tokens_seen} | dict(batch.figures) | watch.figures(step))
        if plan.due(step, plan.validate_every):
            with watch.validating():
                hooks.on_validate(step)
        if plan.probe_every is not None and plan.due(step, plan.probe_every):
            with watch.validating():
                hooks.on_probe(step)
        if put_off or plan.due(step, plan.checkpoint_every):
            with watch.saving():
                put_off = hooks.on_checkpoint(step, tokens_seen)
        hooks.on_step(step, tokens_seen)
    return tokens_seen


def batch_indices(plan: Plan, step: int, data: TrainData, shift: int = 0) -> np.ndarray:
    """Row numbers of the whole batch of a step, the same on every rank; `shift` positions are left out before it."""
    return row_numbers(data, plan.seed, np.arange(plan.begins(step), plan.begins(step + 1)) + shift)


def _accumulate(model: nn.Module, batch: Batch, plan: Plan, world: World, objective: Objective) -> torch.Tensor:
    """Add the batch's gradient to the parameters, and return this rank's part of the mean loss."""
    total = torch.zeros((), device=world.device)
    for number, part in enumerate(batch.parts, 1):
        sync_gradients(model, number == len(batch.parts))
        shown, learned = objective.losses(model, part, plan.precision, world.device)
        # Gradients are averaged over the ranks, and have to be their sum.
        backward(model, learned * (world.size / batch.divisor))
        total += shown.detach() / batch.divisor
    return total


@torch.no_grad()
def clip_gradients(model: nn.Module, limit: float, world: World) -> torch.Tensor:
    """Scale the gradient down to an L2 norm of `limit` (Pascanu et al. 2013), and return the norm it had.

    One all-reduce of one number over the local shards, instead of a DTensor operation for each parameter. DeepSpeed
    clips in its step. Under DDP rank 0's norm counts: unlike processors would round differently.
    """
    if isinstance(model, Zero):
        return model.gradient_norm()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    local = [gradient.to_local() if isinstance(gradient, DTensor) else gradient for gradient in gradients]
    square = get_total_norm(local, foreach=True).square()
    if isinstance(gradients[0], DTensor):
        mesh = gradients[0].device_mesh
        copies = mesh.size(0) if mesh.ndim == 2 else 1  # of hybrid sharding: each has the whole sum
        square = world.sum(square) / copies
    elif isinstance(model, DistributedDataParallel):
        square = world.sum(square if world.rank == 0 else torch.zeros_like(square))
    norm = square.sqrt()
    scale = torch.clamp(limit / (norm + 1e-6), max=1.0)
    for gradient in local:
        gradient.mul_(scale)
    return norm
