"""The small network that keeps or drops blocks.

In: the rows of features.py, and how many each page has. Out: a probability a block. Two convolutions over a page's
blocks (five side by side, then five with gaps of two between them) let a block see its neighbours, and a summary lets
it see the page: a view like that of the boilerplate network of Vogels et al. 2018 ("Web2Text"), without its pairwise
potentials. benchmarks/train_cascade.py trains it; cascade.npz holds the weights in half precision; network.py sums.

A block's probability never depends on the other pages of a call, to the last bit.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from . import WEIGHTS
from .features import Rows
from .network import Floats, Ints, enter, leave


class Model:
    """Weights: w0 b0 (features to hidden), w1 b1, w2 b2 (convolutions), wp (summary to hidden), w3 b3 (out)."""

    def __init__(self, weights: dict[str, NDArray[np.floating]]) -> None:
        self.weights = {name: np.ascontiguousarray(value, np.float32) for name, value in weights.items()}

    def keep(self, rows: Rows, counts: Ints) -> Floats:
        """The probability that each block belongs to its page's main content."""
        first, near, far, out = ((self.weights[f"w{layer}"], self.weights[f"b{layer}"]) for layer in range(4))
        said = leave(enter(rows.names, rows.numbers, first), counts, near, far, self.weights["wp"], out)
        return (1 / (1 + np.exp(-said))).astype(np.float32)


@cache
def shipped() -> Model:
    """The model that comes with the package."""
    with np.load(WEIGHTS) as file:
        return Model(dict(file))
