"""FSDP2: all parameters sharded over all ranks (Zhao et al. 2023, "PyTorch FSDP"; torch's `fully_shard`)."""

from __future__ import annotations

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

from ..model.config import ModelConfig
from ..model.transformer import Transformer
from .world import World

UNIT_PARAMETERS = 1 << 20


def build_model(
    config: ModelConfig, seed: int, precision: str, world: World, unit_parameters: int = UNIT_PARAMETERS
) -> Transformer:
    """The model with its first weights: whole in a process on its own, sharded over the ranks of a group.

    The weights are the same for any number of ranks. A sharded model is built without memory, so that no rank ever
    holds all of it.
    """
    if not world.distributed:
        model = Transformer(config).to(world.device)
    else:
        with torch.device("meta"):
            model = Transformer(config)
        shard(model, precision, world, unit_parameters)
        model.to_empty(device=world.device)
    model.init_weights(seed)
    return model


def shard(model: Transformer, precision: str, world: World, unit_parameters: int = UNIT_PARAMETERS) -> None:
    """Shard in place. bf16: parameters and activations in bfloat16, gradients reduced and logits given in float32.

    Each block of at least `unit_parameters` is gathered, computed and freed on its own, so that a rank holds one whole
    block at a time. Smaller ones join the root's unit: a unit costs a rank some 10 ms of CPU time a step, more than the
    memory of a small block is worth.
    """
    mesh = init_device_mesh(world.device.type, (world.size,))
    inner = outer = MixedPrecisionPolicy()
    if precision == "bf16":
        inner = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
        outer = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32, output_dtype=torch.float32)
    for block in model.blocks:
        if sum(parameter.numel() for parameter in block.parameters()) >= unit_parameters:
            fully_shard(block, mesh=mesh, mp_policy=inner)
    fully_shard(model, mesh=mesh, mp_policy=outer, reshard_after_forward=False)
