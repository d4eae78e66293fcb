"""The small network that keeps or drops blocks, evaluated in NumPy.

In: the rows of features.py, and how many each page has. Out: a probability a block. Two convolutions over a page's
blocks (five side by side, then five with gaps of two between them) let a block see its neighbours, and a summary lets
it see the page: a view like that of the boilerplate network of Vogels et al. 2018 ("Web2Text"), without its pairwise
potentials. benchmarks/train_cascade.py trains it; cascade.npz holds the weights in half precision.

A block's probability never depends on the other pages of a call, to the last bit: matrices are multiplied in pieces of
one shape (BLAS sums in another order for another shape), and sums over a page go row by row.
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
REACH = max(GAPS) * (WINDOW // 2)
PIECE = 64  # rows


class Model:
    """Weights: w0 b0 (features to hidden), w1 b1, w2 b2 (convolutions), wp (summary to hidden), w3 b3 (out).

    The number of hidden units is a multiple of 16, so that no column falls to BLAS's code for remainders.
    """

    def __init__(self, weights: dict[str, NDArray[np.floating]]) -> None:
        self.weights = {name: np.ascontiguousarray(value, np.float32) for name, value in weights.items()}

    def keep(self, rows: Floats, counts: NDArray[np.int64]) -> Floats:
        """The probability that each block belongs to its page's main content."""
        weights = self.weights
        hidden = np.maximum(_times(rows, weights["w0"]) + weights["b0"], 0)
        first = np.cumsum(counts) - counts
        mean = np.add.reduceat(hidden, first) / counts[:, None]
        summary = np.concatenate([np.maximum.reduceat(hidden, first), mean], axis=1, dtype=np.float32)
        summary = np.repeat(_times(summary, weights["wp"]), counts, axis=0)
        slots = np.arange(len(rows)) + np.repeat(REACH * np.arange(1, len(counts) + 1), counts)
        hidden = np.maximum(_times(_around(hidden, slots, GAPS[0]), weights["w1"]) + hidden + weights["b1"], 0)
        near = _times(_around(hidden, slots, GAPS[1]), weights["w2"])
        hidden = np.maximum(near + hidden + weights["b2"] + summary, 0)
        return 1 / (1 + np.exp(-((hidden * weights["w3"]).sum(axis=1) + weights["b3"])))


def _around(hidden: Floats, slots: NDArray[np.int64], gap: int) -> Floats:
    """Each row with its neighbours on both sides, zeros beyond its page: [blocks, WINDOW * hidden]."""
    spaced = np.zeros((slots[-1] + 1 + REACH, hidden.shape[1]), np.float32)  # REACH empty rows around each page
    spaced[slots] = hidden
    steps = gap * (np.arange(WINDOW) - WINDOW // 2)
    return spaced.take(slots[:, None] + steps, axis=0).reshape(len(slots), -1)


def _times(rows: Floats, weights: Floats) -> Floats:
    """rows @ weights, in pieces of one shape."""
    count = len(rows)
    pieces = -(-count // PIECE)
    padded = np.zeros((pieces * PIECE, rows.shape[1]), np.float32)
    padded[:count] = rows
    return np.matmul(padded.reshape(pieces, PIECE, -1), weights).reshape(pieces * PIECE, -1)[:count]


@cache
def shipped() -> Model:
    """The model that comes with the package."""
    with np.load(FILE) as file:
        return Model(dict(file))
