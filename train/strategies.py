"""The ways to train on several ranks, behind four functions: build, spread, sync_gradients, backward.

    single       one rank
    ddp          every rank has all weights; gradients are averaged (Li et al. 2020, "PyTorch Distributed")
    fsdp         weights, gradients and optimizer state sharded (train/sharding.py)
    deepspeed    gradients and optimizer state sharded, weights too with stage 3 (train/zero.py)

Gradients are averaged over ranks by all of them: the loop scales its loss by the number of ranks. The model is built,
a checkpoint is loaded into it, then it is spread: fsdp shards while it builds, since only it never needs the whole
model on one rank; the others wrap what is whole.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.distributed.fsdp import FSDPModule
from torch.nn.parallel import DistributedDataParallel

from ..core.errors import RecipeError
from ..core.settings_parallel import Parallel
from ..model.config import ModelConfig
from ..model.transformer import Transformer
from .savings import compile_blocks, recompute_activations
from .sharding import UNIT_PARAMETERS, shard
from .variant import PLAIN, Variant
from .world import World
from .zero import Zero, ZeroOptimizer


def build(
    config: ModelConfig,
    seed: int,
    precision: str,
    world: World,
    parallel: Parallel | None = None,
    unit_parameters: int = UNIT_PARAMETERS,
    variant: Variant = PLAIN,
) -> Transformer:
    """The model with its first weights, sharded where the strategy is fsdp.

    The weights are the same for any number of ranks. A sharded model is built without memory, so that no rank ever
    holds all of it. Raises RecipeError when the strategy does not fit the number of ranks.
    """
    parallel = parallel or Parallel()
    sharded = world.distributed and parallel.strategy == "fsdp"
    if parallel.strategy == "single" and world.size > 1:
        raise RecipeError(f"resources.parallel.strategy is single on {world.size} workers", "set train_workers to 1")
    with torch.device("meta" if sharded else world.device):
        model = variant.make(config)
    recompute_activations(model, parallel.checkpointing)
    if parallel.compile:
        compile_blocks(model)
    if sharded:
        shard(model, precision, world, parallel.shard_over, unit_parameters)
        model.to_empty(device=world.device)
    variant.init(model, seed)
    return model


def spread(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    precision: str,
    clip_norm: float,
    world: World,
    parallel: Parallel | None = None,
) -> tuple[nn.Module, torch.optim.Optimizer | ZeroOptimizer]:
    """What the loop works on: model and optimizer as built and loaded, in the strategy's wrapping."""
    strategy = (parallel or Parallel()).strategy
    if strategy == "ddp" and world.distributed:
        return _with_settled_buckets(DistributedDataParallel(model)), optimizer
    if strategy == "deepspeed" and world.distributed:
        zero = Zero(model, optimizer, parallel.zero_stage if parallel else 3, precision, clip_norm, world)
        return zero, zero.optimizer
    return model, optimizer


def _with_settled_buckets(model: DistributedDataParallel) -> DistributedDataParallel:
    """DDP sums gradients in buckets, which it fills anew in the order of their arrival after its first backward pass.

    From three ranks on, a number's place in its bucket decides the order in which its sum is made: the first step after
    each start would round otherwise than the same step of a run that goes on. So a pass of one token comes before it.
    """
    with torch.compiler.set_stance("force_eager"):
        model(torch.zeros((1, 1), dtype=torch.long, device=model.device)).sum().backward()
    model.zero_grad(set_to_none=True)
    return model


def sync_gradients(model: nn.Module, now: bool) -> None:
    """Whether the next forward and backward pass is the last of a step: gradients travel once, after all of them."""
    if isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(now)
    elif isinstance(model, DistributedDataParallel):
        model.require_backward_grad_sync = now
    elif isinstance(model, Zero):
        model.sync_gradients(now)


def backward(model: nn.Module, loss: torch.Tensor) -> None:
    """Add a loss's gradient to the parameters."""
    if isinstance(model, Zero):
        model.backward(loss)
    else:
        loss.backward()
