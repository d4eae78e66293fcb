"""FSDP2: parameters sharded over ranks (Zhao et al. 2023, "PyTorch FSDP"; torch's `fully_shard`).

Over all ranks, or hybrid: over `shard_over` ranks at a time, in a mesh of two dimensions, whose other one holds copies
that add up their gradients. Then weights are gathered among few ranks that are near each other, on one machine say.
"""

from __future__ import annotations

import torch
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

from ..core.errors import RecipeError
from ..core.section import misfit
from ..model.transformer import Transformer
from .world import World

UNIT_PARAMETERS = 1 << 20


def shard(
    model: Transformer,
    precision: str,
    world: World,
    shard_over: int | None = None,
    unit_parameters: int = UNIT_PARAMETERS,
) -> None:
    """Shard in place. bf16: parameters and activations in bfloat16, gradients reduced and logits given in float32.

    Each block of at least `unit_parameters` is gathered, computed and freed on its own, so that a rank holds one whole
    block at a time. Smaller ones join the root's unit: a unit costs a rank some 10 ms of CPU time a step, more than the
    memory of a small block is worth. Raises RecipeError when `shard_over` does not divide the number of ranks.
    """
    mesh = _mesh(world, shard_over)
    inner = outer = MixedPrecisionPolicy()
    if precision == "bf16":
        inner = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
        outer = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32, output_dtype=torch.float32)
    for block in model.blocks:
        if sum(parameter.numel() for parameter in block.parameters()) >= unit_parameters:
            fully_shard(block, mesh=mesh, mp_policy=inner)
    fully_shard(model, mesh=mesh, mp_policy=outer, reshard_after_forward=False)


def _mesh(world: World, shard_over: int | None) -> DeviceMesh:
    """One dimension of all ranks, or copies × shards; neighbouring ranks share a copy."""
    if shard_over is None or shard_over == world.size:
        return init_device_mesh(world.device.type, (world.size,), mesh_dim_names=("shard",))
    if wrong := misfit("resources.parallel.shard_over", shard_over, "the number of workers", world.size):
        raise RecipeError(*wrong)
    return init_device_mesh(world.device.type, (world.size // shard_over, shard_over), mesh_dim_names=("copy", "shard"))
