"""A node that is to be taken away: the ranks agree on a step, write its checkpoint, and leave.

The notice reaches the ranks at different moments, and a collective works only where all take part. So they ask each
other, at steps that all of them know: about once in EVERY_S, by the pace that they measured together.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from .world import World

EVERY_S = 1.0

Told = Callable[[], bool]  # whether this rank has been told that a node of the run's goes


class Leaving(Exception):
    """The state after step `step` is in a checkpoint, and the ranks make room; not an error."""

    def __init__(self, step: int) -> None:
        super().__init__(step)  # it is pickled on its way to the driver
        self.step = step

    def __str__(self) -> str:
        return f"left after step {self.step}, as a node is to be taken away"


class Notice:
    """All ranks make it after the same step, and call `given` after each step from there on."""

    def __init__(self, world: World, told: Told | None, step: int) -> None:
        """`told` is None on all ranks where nobody tells."""
        self._world, self._told = world, told
        self._last, self._next, self._looked = step, step + 1, time.monotonic()

    def given(self, step: int) -> bool:
        """Whether any rank has been told by now; the same on every rank."""
        if self._told is None or step < self._next:
            return False
        now = time.monotonic()
        own = torch.tensor([float(self._told()), now - self._looked], device=self._world.device)
        told, seconds = self._world.sum(own).tolist()
        pace = seconds / self._world.size / (step - self._last)
        self._last, self._looked, self._next = step, now, step + max(1, int(EVERY_S / max(pace, 1e-6)))
        return told > 0
