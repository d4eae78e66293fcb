"""Batch-size warm-up: a run may begin with small batches and go on with larger ones.

A step's batch is a pure function of its number, as is where it begins in the order of the data: positions follow each
other without a gap or a repetition, and a run that resumes at any step needs nothing but the step.
"""

from __future__ import annotations

from collections.abc import Iterable

Stages = tuple[tuple[int, int], ...]  # (steps, rows a batch), from step 1 on


def begins(batch: int, warmup: Iterable[tuple[int, int]], step: int) -> int:
    """The position of the first row of a step's batch (steps from 1, positions from 0): all rows of the steps before.

    `warmup` are its stages in their order; `batch` is the size behind the last of them.
    """
    before, rows = step - 1, 0
    for steps, size in warmup:
        here = min(before, steps)
        rows, before = rows + here * size, before - here
    return rows + before * batch
