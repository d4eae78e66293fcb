"""The recipe's sections for the optimizer and its learning rate over the steps."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat, model_validator

from .section import Section


class Muon(Section):
    """Muon (Jordan et al. 2024) for the matrices of the blocks; AdamW keeps embedding, head, gains and biases."""

    learning_rate: float = Field(default=0.02, gt=0, description="peak, of the blocks' matrices")
    momentum: float = Field(default=0.95, ge=0, lt=1)
    nesterov: bool = True
    iterations: int = Field(default=5, ge=1, le=20, description="Newton-Schulz steps")
    match_adamw: bool = Field(
        default=False,
        description="scale updates to the size of AdamW's (Liu et al. 2025), so that AdamW's learning rates fit; "
        "false: as Jordan, by the square root of rows / columns where a matrix is tall",
    )


class Optimizer(Section):
    """AdamW, or Muon for matrices beside it; linear warm-up, then the schedule down to a share of the peak."""

    learning_rate: float = Field(default=3e-3, gt=0, description="peak, of whatever has none of its own below")
    embedding_learning_rate: PositiveFloat | None = Field(default=None, description="null: learning_rate")
    head_learning_rate: PositiveFloat | None = Field(
        default=None, description="of an output layer that is not the embedding itself; null: learning_rate"
    )
    muon: Muon | None = None
    schedule: Literal["cosine", "linear", "wsd"] = Field(
        default="cosine", description="wsd: warm-up, stable at the peak, decay (Hu et al. 2024)"
    )
    decay_share: float = Field(default=0.2, gt=0, le=1, description="wsd: of the steps, the last ones")
    decay_shape: Literal["linear", "sqrt", "exponential"] = Field(
        default="linear", description="wsd: 1 - x; 1 - sqrt(x); a halving over and over, x from 0 to 1 over the decay"
    )
    min_lr_ratio: float = Field(default=0.1, ge=0, le=1, description="of the peak, at the last step")
    warmup_steps: int = Field(default=50, ge=0)
    weight_decay: float = Field(default=0.1, ge=0, description="on matrices; never on gains and biases")
    decay_embeddings: bool = Field(default=True, description="whether embeddings are matrices to weight_decay")
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.95, ge=0, lt=1)
    eps: float = Field(default=1e-8, gt=0)
    clip_norm: float = Field(default=1.0, gt=0, description="of the gradient's global L2 norm")

    @model_validator(mode="after")
    def _fits_together(self) -> Optimizer:
        given = self.model_fields_set & {"decay_share", "decay_shape"}
        if self.schedule != "wsd" and any(getattr(self, name) != _default(name) for name in given):
            raise ValueError(
                f"optimizer.{min(given)} is given, but the schedule is {self.schedule}; "
                f"set optimizer.schedule to wsd, or leave {min(given)} out"
            )
        if self.decay_shape == "exponential" and self.min_lr_ratio == 0:
            raise ValueError(
                "optimizer.decay_shape is exponential, and min_lr_ratio 0 is never reached by halving; "
                "set min_lr_ratio above 0, for example 0.01"
            )
        return self


def _default(name: str) -> object:
    return Optimizer.model_fields[name].default
