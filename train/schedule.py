"""Learning rate by step: linear warm-up, then half a cosine down to a share of the peak (Loshchilov & Hutter 2017)."""

from __future__ import annotations

import math
from collections.abc import Callable

from ..core.settings_training import Optimizer

Schedule = Callable[[int], float]


def warmup_cosine(settings: Optimizer, steps: int) -> Schedule:
    """The learning rate of each step 1 … steps: the peak at `warmup_steps`, peak · min_lr_ratio at the last step.

    A warm-up longer than the run ends in mid-climb.
    """
    peak, warmup, floor = settings.learning_rate, settings.warmup_steps, settings.min_lr_ratio

    def rate(step: int) -> float:
        if step < warmup:
            return peak * step / warmup
        part = min(1.0, (step - warmup) / max(1, steps - warmup))
        return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * part)))

    return rate
