"""The batches of coming steps, made on a thread while the model computes.

A batch is a pure function of its step, so that nothing of what was fetched in advance is state: a run that stops loses
nothing, and one that goes back only asks again.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np

from .loader import IGNORED, TrainData, rows_of

DEPTH = 2


@dataclass(frozen=True)
class Batch:
    """One step's rows, as one rank computes them."""

    step: int
    indices: np.ndarray  # row numbers of the whole batch, all ranks together
    counted: int  # targets of the whole batch that count in the loss
    parts: list[tuple[np.ndarray, ...]]  # this rank's inputs, targets and what is beside, micro-batch by micro-batch
    waited: float = 0.0  # seconds that the model stood still for it
    weight: int | None = None  # what the loss's sum is divided by; None: the counted targets
    figures: Mapping[str, float] = field(default_factory=dict)  # for the row of a logged step

    @property
    def divisor(self) -> int:
        return max(1, self.counted if self.weight is None else self.weight)


def rank_batch(
    data: TrainData, step: int, indices: np.ndarray, rank: int, size: int, micro_batch: int | None = None
) -> Batch:
    """The r-th n-th of a batch for rank r of n, `micro_batch` rows at a time (None: all at once).

    All ranks get as many rows, as sharded models demand: where n does not divide the batch, spare places hold rows
    whose targets do not count.
    """
    share = -(-len(indices) // size)
    mine = np.array_split(indices, size)[rank]
    spare = share - len(mine)
    rows = np.concatenate([mine, indices[:spare]])
    width = micro_batch or share
    parts = []
    for start in range(0, share, width):
        inputs, targets, *beside = rows_of(data, rows[start : start + width])
        if start + width > len(mine):
            targets = targets.copy()
            targets[max(0, len(mine) - start) :] = IGNORED
        parts.append((inputs, targets, *beside))
    weigh = getattr(data, "weight", None)
    return Batch(step, indices, data.target_count(indices), parts, weight=weigh and weigh(indices))


def prefetch(make: Callable[[int], Batch], first: int, last: int, depth: int = DEPTH) -> Iterator[Batch]:
    """The batches of steps `first` … `last`, `depth` made ahead. An error of `make` comes in its batch's place."""
    steps = iter(range(first, last + 1))
    thread = ThreadPoolExecutor(1, thread_name_prefix="prefetch")
    try:
        coming = deque(thread.submit(make, step) for step in islice(steps, depth))
        while coming:
            began = time.perf_counter()
            batch = coming.popleft().result()
            waited = time.perf_counter() - began
            coming.extend(thread.submit(make, step) for step in islice(steps, 1))
            yield replace(batch, waited=waited)
    finally:
        thread.shutdown(wait=False, cancel_futures=True)
