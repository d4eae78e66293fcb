"""AdamW with decoupled weight decay (Loshchilov & Hutter 2019) on matrices only: gains of norms are not decayed."""

from __future__ import annotations

import torch
from torch import nn

from ..core.settings_training import Optimizer


def adamw(model: nn.Module, settings: Optimizer) -> torch.optim.AdamW:
    """The optimizer of a model, sharded or not. The learning rate is set by the loop at every step.

    Fused: one call for all parameters instead of a dozen element-wise ones, which is what a small model on a CPU
    spends its time on.
    """
    matrices = [p for p in model.parameters() if p.requires_grad and p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.requires_grad and p.dim() < 2]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=settings.learning_rate,
        betas=(settings.beta1, settings.beta2),
        eps=settings.eps,
        fused=True,
    )
