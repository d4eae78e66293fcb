"""Llama 3's stretching of rotary angles as GGUF has it: what each frequency is divided by, float32 [head size / 2].

The four numbers that they came from are not in the file. Those of every Llama 3 are tried, and others that differ in
the first context alone; what none of them gives is refused.
"""

from __future__ import annotations

import numpy as np
import torch

from ..core.errors import InputError
from .config import RopeScaling
from .positions import frequencies, stretched

LOW, HIGH = 1.0, 4.0  # of Llama 3.1, 3.2 and 3.3
CONTEXTS = (8192, *(1 << power for power in range(3, 21)))


def write_factors(scaling: RopeScaling, head_size: int, theta: float) -> np.ndarray:
    """The tensor rope_freqs.weight."""
    plain = frequencies(head_size, theta, torch.device("cpu"))
    return (plain / stretched(plain, scaling)).numpy()


def read_factors(factors: np.ndarray, head_size: int, theta: float, where: str) -> RopeScaling | None:
    """The stretching that gives these factors; None when all are 1. Raises InputError when no known one does."""
    if factors.shape == (head_size // 2,) and (factors == 1).all():
        return None
    factor = float(f"{factors.max(initial=1):.5g}")
    for context in CONTEXTS:
        scaling = RopeScaling(factor, LOW, HIGH, context)
        if factors.shape == (head_size // 2,) and np.allclose(write_factors(scaling, head_size, theta), factors, 1e-5):
            return scaling
    raise InputError(
        f"{where}: rope_freqs.weight divides by {factors.tolist()[:4]} …: the model would be computed wrongly",
        "this program stretches rotary positions as Llama 3 does, or not at all",
    )
