"""Tasks in a queue: one driver hands them out one by one, nodes take them, some are slow, some nodes fail.

A discrete-event simulation with the time at which each core is free as its only state. A task that loses its node is
done again from its beginning, as Ray does it, on the core that is free next.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass

import numpy as np

NOTICED_S = 30.0  # until Ray takes a node that does not answer for dead


@dataclass(frozen=True)
class Outcome:
    """seconds until the last task has ended; busy: seconds of all cores' work; lost: tasks that were done again."""

    seconds: float
    busy: float
    lost: int


def run_tasks(
    work: np.ndarray, cores: int, start: float, handing_out: float, node_hours: float, dice: np.random.Generator
) -> Outcome:
    """work: each task's seconds, in the order in which they are handed out; start: what the first of each core takes
    longer; handing_out: the driver's seconds for each; node_hours: between two failures of one node, inf for none.
    """
    free = [0.0] * min(cores, max(len(work), 1))
    fresh = len(free)
    todo = deque(work.tolist())
    handed = busy = end = 0.0
    lost = 0
    while todo:
        seconds = todo.popleft()
        handed += handing_out
        begin = max(heapq.heappop(free), handed)
        took = seconds + (start if fresh > 0 else 0.0)
        fresh -= 1
        if node_hours != np.inf and (fails := dice.exponential(node_hours * 3600)) < took:
            todo.append(seconds)
            lost += 1
            took = fails + NOTICED_S
        busy += took
        end = max(end, begin + took)
        heapq.heappush(free, begin + took)
    return Outcome(end, busy, lost)


def spread_work(total: float, tasks: int, spread: float, dice: np.random.Generator) -> np.ndarray:
    """So many tasks of `total` seconds together, whose logarithms scatter with the standard deviation `spread`."""
    sizes = np.exp(dice.normal(0.0, spread, tasks)) if spread else np.ones(tasks)
    return sizes * (total / sizes.sum())
