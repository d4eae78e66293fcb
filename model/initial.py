"""First weights, drawn so that they depend on the seed and the parameter's name alone.

Normal(0, 0.02), projections into the residual stream over sqrt(2 · layers) (GPT-2, Radford et al. 2019); gains of norms
are one, biases zero. Under `model.transfer` (model/transfer.py) the layers are the base's, and matrices of the blocks
over sqrt(m_N).
"""

from __future__ import annotations

import hashlib
import math

import torch
from torch import nn
from torch.distributed.tensor import DTensor, distribute_tensor

from .config import ModelConfig

INTO_RESIDUAL = ("attention.output.weight", "feed_forward.down.weight")


@torch.no_grad()
def init_weights(model: nn.Module, seed: int, config: ModelConfig) -> None:
    """Every parameter has its own generator, keyed by seed and name, and is drawn as a whole tensor on the CPU:
    the result depends neither on the number of processes nor on whether the parameters are sharded already.
    """
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:
            parameter.fill_(0.0 if name.endswith("bias") else 1.0)
            continue
        key = hashlib.sha256(f"{seed}/{name}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(key[:8], "big", signed=True))
        std = spread(name, config)
        whole = torch.empty(parameter.shape).normal_(0.0, std, generator=generator).to(parameter.dtype)
        if isinstance(parameter, DTensor):
            mesh = parameter.device_mesh
            whole = distribute_tensor(whole.to(mesh.device_type), mesh, parameter.placements, src_data_rank=None)
        parameter.copy_(whole)


def spread(name: str, config: ModelConfig) -> float:
    """Standard deviation of a matrix's first weights.

    m_N stands for the fan-in of every matrix in a block, which grows with the width where proportions are kept.
    """
    if not name.startswith("blocks."):
        return 0.02
    layers = config.transfer.base_layers if config.transfer else config.layers
    std = 0.02 / math.sqrt(2 * layers) if name.endswith(INTO_RESIDUAL) else 0.02
    return std / math.sqrt(config.width_ratio)
