"""AdamW with decoupled weight decay (Loshchilov & Hutter 2019), or Muon (train/muon.py) for the blocks' matrices.

Parameters go by what they are: matrices of the blocks, embeddings, the head, and vectors (gains and biases), which are
never decayed. Each kind may have a learning rate of its own, as a constant ratio to that of the schedule. Under
`model.transfer` ratios, decay and eps follow the model's shape (train/transfer.py).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..core.settings_optimizer import Optimizer
from ..model.transformer import Transformer
from .muon import MuonAdamW
from .transfer import scaled_groups, vector_kind


def make_optimizer(model: Transformer, settings: Optimizer) -> torch.optim.AdamW:
    """The optimizer of a Transformer, sharded or not. The loop sets a group's rate to schedule · `lr_ratio` every step.

    Fused: one call for all parameters instead of a dozen element-wise ones, which is what a small model on a CPU
    spends its time on.
    """
    return (MuonAdamW if settings.muon else torch.optim.AdamW)(
        parameter_groups(model, settings),
        lr=settings.learning_rate,
        betas=(settings.beta1, settings.beta2),
        eps=settings.eps,
        fused=True,
    )


def parameter_groups(model: Transformer, settings: Optimizer) -> list[dict[str, Any]]:
    """The groups of the parameters that are trained, in the order matrices, embeddings, head, vectors."""
    muon = settings.muon
    matrices: dict[str, Any] = {
        "weight_decay": settings.weight_decay,
        "lr_ratio": muon.learning_rate / settings.learning_rate if muon else 1.0,
    }
    if muon is not None:
        matrices["muon"] = muon.model_dump(exclude={"learning_rate"})
    embedding = {
        "weight_decay": settings.weight_decay if settings.decay_embeddings else 0.0,
        "lr_ratio": (settings.embedding_learning_rate or settings.learning_rate) / settings.learning_rate,
    }
    head = {
        "weight_decay": settings.weight_decay,
        "lr_ratio": (settings.head_learning_rate or settings.learning_rate) / settings.learning_rate,
    }
    groups = {
        "matrix": matrices,
        "embedding": embedding,
        "head": head,
        "vector": {"weight_decay": 0.0, "lr_ratio": 1.0},
    }
    transfer = model.config.transfer is not None
    if transfer:
        groups = scaled_groups(groups, model.config, settings.eps)
    members: dict[str, list[nn.Parameter]] = {kind: [] for kind in groups}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            kind = kind_of(name, parameter)
            members[vector_kind(name) if transfer and kind == "vector" else kind].append(parameter)
    return [{"params": members[kind]} | group for kind, group in groups.items() if members[kind]]


def kind_of(name: str, parameter: torch.Tensor) -> str:
    """matrix, embedding, head or vector, by a parameter's name in the Transformer and its dimensions."""
    if parameter.dim() < 2:
        return "vector"
    if name.startswith("blocks."):
        return "matrix"
    return "head" if name.startswith("head.") else "embedding"
