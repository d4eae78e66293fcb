"""How fast a remote place may be asked, by all workers together.

A Pace hands out times: each request waits for its own. It is asked where it lives, on one clock; the workers get
seconds to wait, so that their clocks do not matter. On Ray it is an actor of the run (pace_actor.py).
"""

from __future__ import annotations

import time
from typing import Protocol


class Paced(Protocol):
    def reserve(self) -> float:
        """Take the next free time; returns the seconds until then."""
        ...

    def hold(self, seconds: float) -> None:
        """Let nobody begin for so long: the server asked for it."""
        ...


class Pace:
    """`per_second` evenly spaced requests: no bursts."""

    def __init__(self, per_second: float) -> None:
        self._gap, self._free = 1 / per_second, 0.0

    def reserve(self) -> float:
        now = time.monotonic()
        begins = max(now, self._free)
        self._free = begins + self._gap
        return begins - now

    def hold(self, seconds: float) -> None:
        self._free = max(self._free, time.monotonic() + seconds)


class Unpaced:
    """For places that need no mercy: folders."""

    def reserve(self) -> float:
        return 0.0

    def hold(self, seconds: float) -> None:
        pass
