"""Rows of tokens that begin alike: which of them share the reading of their beginning, and the cache that they share.

Questions after the same examples begin with hundreds of equal tokens, and so do the answers to one question. Sorted,
rows with a common beginning are neighbours; `families` cuts them into runs such that the most tokens are saved.

L layers, B rows, G key/value heads, P tokens of the prefix, T tokens behind it, K head size.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..model.cache import KVCache

Ids = tuple[int, ...]
LEAST_SAVED = 256  # tokens: below, a reading of its own and small batches cost more than they save


class Family(NamedTuple):
    """rows[start:stop] of the sorted rows begin with the same `prefix` tokens, which are read once; 0: not worth it."""

    start: int
    stop: int
    prefix: int


def families(rows: Sequence[Ids], limits: Sequence[int], least: int = LEAST_SAVED) -> list[Family]:
    """Sorted, different rows as families, in order. No prefix is longer than the limit of any of its rows.

    The most tokens saved, (rows - 1) · prefix - least over all families, by dynamic programming over where the last one
    begins: n² small steps, and n is the rows of some hundred items.
    """
    count = len(rows)
    shared = np.array([_common(*pair) for pair in pairwise(rows)], dtype=np.int64)
    limit = np.array(limits, dtype=np.int64)
    best, begins = np.zeros(count + 1, dtype=np.int64), np.zeros(count + 1, dtype=np.int64)
    bound = np.minimum(limit[:-1], shared)  # what row r allows to a family that goes on behind it
    for stop in range(1, count + 1):
        prefix = np.minimum.accumulate(np.concatenate([limit[stop - 1 : stop], bound[: stop - 1][::-1]]))
        saved = np.arange(stop) * prefix - least  # of 1, 2, … rows that end here
        saved[0] = 0
        total = best[:stop][::-1] + saved
        choice = int(total.argmax())
        best[stop], begins[stop] = total[choice], stop - 1 - choice
    found, stop = [], count
    while stop:
        start = int(begins[stop])
        alone = stop - start == 1
        found.append(
            Family(start, stop, 0 if alone else int(min(limit[start:stop].min(), shared[start : stop - 1].min())))
        )
        stop = start
    return found[::-1]


def _common(a: Ids, b: Ids) -> int:
    """How many ids two rows begin with alike."""
    for place, (one, other) in enumerate(zip(a, b, strict=False)):
        if one != other:
            return place
    return min(len(a), len(b))


class SharedCache(KVCache):
    """A filled cache of one row that many rows go on from, always from its end: nothing is kept of them."""

    def __init__(self, prefix: KVCache) -> None:
        self.capacity, self.length = prefix.capacity, prefix.length
        self.keys_LBGSK, self.values_LBGSK = prefix.keys_LBGSK, prefix.values_LBGSK

    def store(self, layer: int, key_BGTK: Tensor, value_BGTK: Tensor) -> tuple[Tensor, Tensor]:
        """The layer's keys and values of the prefix, before those of each row."""
        batch = key_BGTK.shape[0]
        keys_BGPK = self.keys_LBGSK[layer, :, :, : self.length].expand(batch, -1, -1, -1)
        values_BGPK = self.values_LBGSK[layer, :, :, : self.length].expand(batch, -1, -1, -1)
        return torch.cat([keys_BGPK, key_BGTK], dim=2), torch.cat([values_BGPK, value_BGTK], dim=2)

    def advance(self, tokens: int) -> None:
        """The prefix stays what it is."""
