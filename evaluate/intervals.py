"""Intervals of 95 %: how far a figure of so many items can be off.

Proportions have Wilson's interval (E. B. Wilson 1927, "Probable inference, the law of succession, and statistical
inference"), which stays within 0 and 1 and is not empty where all items are right or wrong. Everything else has a
percentile bootstrap (Efron & Tibshirani 1993, chapter 13) over items, drawn within their groups.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

Z = 1.959963984540054  # 97.5 % of a standard normal lie below
DRAWS = 2000


def wilson(successes: int, trials: int, z: float = Z) -> tuple[float, float]:
    """The interval of a proportion; (0, 1) without trials."""
    if not trials:
        return 0.0, 1.0
    share, spread = successes / trials, z * z / trials
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / trials + spread / (4 * trials))
    return (max(0.0, middle - half) if successes else 0.0), (min(1.0, middle + half) if successes < trials else 1.0)


def bootstrap(
    groups: Sequence[np.ndarray],
    figure: Callable[[Sequence[np.ndarray]], np.ndarray],
    draws: int = DRAWS,
    seed: int = 0,
) -> tuple[float, float]:
    """The interval of a figure of the groups' means.

    groups: [items, columns] each. figure takes means [draws, columns], one array a group, and gives [draws].
    """
    generator = np.random.default_rng(seed)
    means = [_means(group, draws, generator) for group in groups]
    low, high = np.quantile(figure(means), [0.025, 0.975])
    return float(low), float(high)


def _means(group: np.ndarray, draws: int, generator: np.random.Generator) -> np.ndarray:
    """Means [draws, columns] of as many items as the group has, drawn with replacement; in blocks, for memory."""
    block = max(1, 1_000_000 // len(group))
    parts = [
        group[generator.integers(0, len(group), (min(block, draws - begin), len(group)))].mean(axis=1)
        for begin in range(0, draws, block)
    ]
    return np.concatenate(parts)
