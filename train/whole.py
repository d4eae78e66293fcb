"""A model in training as a plain one: its weights whole, however they are spread over the ranks."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from .zero import Zero


@torch.no_grad()
def whole_weights(model: nn.Module) -> dict[str, Tensor]:
    """Every parameter by name, whole, on every rank: for `load_state_dict` of a model of the same variant.

    All ranks call it, between steps.
    """
    if isinstance(model, Zero):
        return {name: model.read(parameter, None) for name, parameter in model.module.named_parameters()}
    plain = model.module if isinstance(model, DistributedDataParallel) else model
    for module in plain.modules():
        if isinstance(module, FSDPModule):  # after a forward without a backward the root's weights are whole
            module.reshard()
    return {name: _whole(parameter.detach()) for name, parameter in plain.named_parameters()}


def _whole(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
