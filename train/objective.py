"""What is learned: what the parts of a batch cost, and how held-out data are judged. Here the next token.

    NextToken                        pretraining and fine-tuning
    train/preference_objective.py    DPO and IPO, and a reward model's Bradley-Terry loss
    train/grpo.py                    GRPO

A part is what the data gave for some rows (train/prefetch.py): inputs, targets, and what the objective wants beside.
Sums, not means: the loop divides by what the whole batch weighs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from .loader import TrainData
from .loss import losses
from .prefetch import Batch
from .validation import validate
from .world import World

HeldOut = TrainData | Mapping[str, TrainData]


class Objective(Protocol):
    """All ranks call the same methods in the same order."""

    # The figures of `validate` that the stage's manifest has, of the start too; the first is in all of them.
    shown: ClassVar[tuple[str, ...]]

    def prepare(self, model: nn.Module, batch: Batch, precision: str, world: World) -> Batch:
        """The batch as it is learned from: where answers are sampled first, with these."""
        ...

    def losses(
        self, model: nn.Module, part: tuple[np.ndarray, ...], precision: str, device: torch.device
    ) -> tuple[Tensor, Tensor]:
        """What is reported, and what the gradient is taken of, each a sum in float32."""
        ...

    def validate(self, model: nn.Module, data: HeldOut, rows: int, precision: str, world: World) -> dict[str, float]:
        """Figures of held-out data, `rows` of them a forward, the same on every rank."""
        ...


class NextToken:
    """Cross-entropy of the counted targets. `token_bytes`: for bits per byte (train/validation.py)."""

    shown: ClassVar[tuple[str, ...]] = ("validation_loss", "bits_per_byte")

    def __init__(self, z_loss: float = 0.0, token_bytes: np.ndarray | None = None) -> None:
        self._z_loss, self._token_bytes = z_loss, token_bytes

    def prepare(self, model: nn.Module, batch: Batch, precision: str, world: World) -> Batch:
        return batch

    def losses(
        self, model: nn.Module, part: tuple[np.ndarray, ...], precision: str, device: torch.device
    ) -> tuple[Tensor, Tensor]:
        inputs, targets, *documents = part
        return losses(model, inputs, targets, precision, device, self._z_loss, *documents)

    def validate(self, model: nn.Module, data: HeldOut, rows: int, precision: str, world: World) -> dict[str, float]:
        assert self._token_bytes is not None, "bits per byte need the bytes of each token"
        return validate(model, data, self._token_bytes, rows, precision, world)
