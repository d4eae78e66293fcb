"""The orders that a side of the training benchmark gets, and its answers, on the standard output it began with."""

from __future__ import annotations

import json
import sys
import time

ANSWERS = sys.stdout  # a module of its own: one copy, whichever script is the main one


class Orders:
    """Blocks of steps, one after the other: `step_done` is called behind every step, and waits between blocks."""

    def __init__(self, parameters: int) -> None:
        self._parameters, self._left, self._began = parameters, 0, 0.0

    def wait(self) -> None:
        """Read the next order; the process ends when there is none."""
        line = sys.stdin.readline()
        if not line.strip():
            sys.exit()
        self._left, self._began = int(line), time.perf_counter()

    def step_done(self) -> None:
        self._left -= 1
        if self._left <= 0:
            answer = {"seconds": time.perf_counter() - self._began, "parameters": self._parameters}
            print(json.dumps(answer), file=ANSWERS, flush=True)
            self.wait()
