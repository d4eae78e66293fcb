"""The small network that keeps or drops blocks, evaluated in NumPy.

In: the matrix of features.py. Out: a probability a block. Two convolutions over the row of blocks (five blocks side by
side, then five with gaps of two between them) let a block see its neighbours, and a pooled summary lets it see the page:
a paragraph-wide view like that of boilerplate CNNs (Vogels et al. 2018, "Web2Text"), without its pairwise potentials.
benchmarks/train_cascade.py trains it; cascade.npz holds the weights in half precision.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
FILE = Path(__file__).with_name("cascade.npz")
WINDOW = 5
GAPS = (1, 3)  # steps between the blocks that a convolution sees


class Model:
    """Weights by name: w0 b0 (features to hidden), w1 b1 and w2 b2 (convolutions), wp (pooled to hidden), w3 b3 (out)."""

    def __init__(self, weights: dict[str, Floats]) -> None:
        self.weights = {name: np.ascontiguousarray(value, np.float32) for name, value in weights.items()}

    def keep(self, rows: Floats) -> Floats:
        """The probability that each block belongs to the main content."""
        weights = self.weights
        hidden = np.maximum(rows @ weights["w0"] + weights["b0"], 0)
        pooled = np.concatenate([hidden.max(axis=0), hidden.mean(axis=0)]) @ weights["wp"]
        hidden = np.maximum(_around(hidden, GAPS[0]) @ weights["w1"] + hidden + weights["b1"], 0)
        hidden = np.maximum(_around(hidden, GAPS[1]) @ weights["w2"] + hidden + (weights["b2"] + pooled), 0)
        return 1 / (1 + np.exp(-(hidden @ weights["w3"] + weights["b3"])))


def _around(hidden: Floats, gap: int) -> Floats:
    """Each row with its neighbours on both sides, zeros beyond the ends: [blocks, WINDOW * hidden]."""
    count, width = hidden.shape
    reach = gap * (WINDOW // 2)
    padded = np.zeros((count + 2 * reach, width), np.float32)
    padded[reach : reach + count] = hidden
    return np.concatenate([padded[step : step + count] for step in range(0, 2 * reach + 1, gap)], axis=1)


@cache
def shipped() -> Model:
    """The model that comes with the package."""
    with np.load(FILE) as file:
        return Model(dict(file))
