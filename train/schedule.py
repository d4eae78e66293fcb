"""Learning rate by step: a linear warm-up to the peak, then one of three ways down to a share of it.

cosine    half a cosine from the end of the warm-up to the last step (Loshchilov & Hutter 2017)
linear    a straight line between the same two
wsd       warm-up, stable, decay (Hu et al. 2024, MiniCPM): the peak is held until the last `decay_share` of the
          steps. A checkpoint of the stable phase belongs to runs of any length: each may branch off its own decay
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ..core.settings_optimizer import Optimizer

Schedule = Callable[[int], float]
Shape = Callable[[float, float], float]

# From 1 to 0 while x goes from 0 to 1, but for the exponential, which ends at the floor and so has to know it.
SHAPES: dict[str, Shape] = {
    "cosine": lambda x, floor: 0.5 * (1 + math.cos(math.pi * x)),
    "linear": lambda x, floor: 1 - x,
    "sqrt": lambda x, floor: 1 - math.sqrt(x),  # Hägele et al. 2024
    "exponential": lambda x, floor: (floor**x - floor) / (1 - floor) if floor < 1 else 0.0,  # Hu et al. 2024
}


def learning_rates(settings: Optimizer, steps: int, decay_from: int | None = None) -> Schedule:
    """The learning rate of each step 1 … steps: the peak at `warmup_steps`, peak · min_lr_ratio at the last step.

    A warm-up longer than the run ends in mid-climb. `decay_from`, of a decay that branches off another run: the last
    step of the stable phase, instead of the one that `decay_share` gives.
    """
    peak, warmup, floor = settings.learning_rate, settings.warmup_steps, settings.min_lr_ratio
    wsd = settings.schedule == "wsd"
    shape = SHAPES[settings.decay_shape if wsd else settings.schedule]
    begin = max(warmup, stable_until(settings, steps) if decay_from is None else decay_from) if wsd else warmup

    def rate(step: int) -> float:
        if step < warmup:
            return peak * step / warmup
        x = min(1.0, max(0, step - begin) / max(1, steps - begin))
        return peak * (floor + (1 - floor) * shape(x, floor))

    return rate


def stable_until(settings: Optimizer, steps: int) -> int:
    """The last step of the stable phase of a wsd schedule, by `decay_share`."""
    return steps - max(1, round(settings.decay_share * steps))
