"""Hyperparameters that carry over from a small model to a wide and deep one: the shape they were found at.

muP (Yang et al. 2022, "Tensor Programs V") for the width, CompleteP (Dey et al. 2025, "Don't be lazy: CompleteP enables
compute-efficient deep transformers", table 1 with alpha = 1) for the depth. With m_N = width / base_width and
m_L = layers / base_layers every activation, and its change in a step, keeps the size that it has at the base:

    first weights       model/initial.py: matrices of the blocks over sqrt(m_N)
    forward             model/transformer.py: what a block adds times 1 / m_L, logits times 1 / m_N, attention's scores
    rates, eps, decay   train/transfer.py

Where width and layers are the base's own, all of this is the standard parametrisation, bit by bit.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from ..core.errors import RecipeError


@dataclass(frozen=True)
class Transfer:
    """The shape at which the hyperparameters were found. Fields as in the recipe's section `model.transfer`.

    `base_head_size` of None leaves attention's scores as they are, which is right where heads grow in number alone.
    Raises RecipeError for a size below 1.
    """

    base_width: int
    base_layers: int
    base_head_size: int | None = None

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if value is None and item.name == "base_head_size":
                continue
            if not isinstance(value, int) or value < 1:
                name = f"model.transfer.{item.name}"
                raise RecipeError(f"{name} is {value!r}", f"set {name} to a whole number of at least 1")
