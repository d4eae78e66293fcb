"""The loss of a batch's rows, on one rank, in the run's precision."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule

from .loader import IGNORED
from .zero import Zero


def losses(
    model: nn.Module,
    inputs: np.ndarray,
    targets: np.ndarray,
    precision: str,
    device: torch.device,
    z_loss: float = 0.0,
    documents: np.ndarray | None = None,
) -> tuple[Tensor, Tensor]:
    """Cross-entropy in nats, and what the gradient is taken of, each summed over the counted targets, in float32.

    The two differ by `z_loss` · log² Z, Z the sum of a token's exponentiated logits (Chowdhery et al. 2022, PaLM,
    section 5): it keeps logits from drifting, of which cross-entropy sees differences alone. `documents` numbers what
    stands in a row: none sees another.
    """
    inputs_BT = torch.from_numpy(np.ascontiguousarray(inputs)).to(device)
    targets_N = torch.from_numpy(np.ascontiguousarray(targets)).to(device).flatten()
    apart = {} if documents is None else {"documents_BT": torch.from_numpy(documents).to(device)}
    with mixed_precision(model, precision, device):
        logits_BTV = model(inputs_BT, **apart)
    logits_NV = logits_BTV.flatten(0, 1).float()
    nats = F.cross_entropy(logits_NV, targets_N, ignore_index=IGNORED, reduction="sum")
    if not z_loss:
        return nats, nats
    log_z_N = logits_NV.logsumexp(-1).masked_fill(targets_N == IGNORED, 0.0)
    return nats, nats + z_loss * log_z_N.square().sum()


def loss_sum(
    model: nn.Module,
    inputs: np.ndarray,
    targets: np.ndarray,
    precision: str,
    device: torch.device,
    documents: np.ndarray | None = None,
) -> torch.Tensor:
    """Cross-entropy in nats, summed over the counted targets, in float32."""
    return losses(model, inputs, targets, precision, device, documents=documents)[0]


def mixed_precision(model: nn.Module, precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """bf16 by autocast for whole models; sharded ones have a way of their own (train/sharding.py, train/zero.py)."""
    if precision == "bf16" and not isinstance(model, FSDPModule | Zero):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()
