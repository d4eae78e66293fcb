"""How long each task of a stage took, from the times at which its files were written.

A pass begins when the one before it has ended; its tasks start in their order, on as many cores as the manifest says.
So the times of the records give each task's seconds. The tasks behind the first of each core give the rate; what those
first took longer is what starting costs (imports, compiled loops, Ray's workers).
"""

from __future__ import annotations

import heapq
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from _scale_passes import DRIVER, PASSES, SHUFFLE, Pass
from crawl2chat.core.manifest import Manifest

MOST_START = 0.9  # of a pass of one task
_ON_RAY = {one.key for one in PASSES if one.tasks not in (DRIVER, SHUFFLE)}
AGREE_S, AGREE_SHARE = 2.0, 0.1  # within which a manifest's seconds and the times of the files must agree
Amounts = dict[str, dict[str, float]]  # of a quantity, by unit


@dataclass(frozen=True)
class Timed:
    """A pass as it was measured: `rate` in what it counts a second and core, `start` the seconds that the first task of
    each core takes longer, `spread` how far tasks lie from the rate: the standard deviation of the logarithm."""

    wall: float
    tasks: int
    rate: float
    start: float
    spread: float = 0.0


def timed_passes(
    folder: Path, manifest: Manifest, amounts: Amounts, totals: dict[str, float], cores: int
) -> tuple[dict[str, Timed], float]:
    """The passes of a stage, and its seconds outside of them."""
    begin = first = (folder / "started.json").stat().st_mtime
    took = (folder / "manifest.json").stat().st_mtime - first
    if abs(took - manifest.seconds) > max(AGREE_S, AGREE_SHARE * manifest.seconds):
        sys.exit(
            f"{folder}: its files are {took:.0f} s apart, its manifest says {manifest.seconds:.0f} s: it was continued "
            "after a kill, or copied without the times of its files (cp -p keeps them)"
        )
    found = {}
    for one in (one for one in PASSES if one.stage == manifest.stage):
        ends = {path.stem: path.stat().st_mtime for pattern in one.ends for path in folder.glob(pattern)}
        if ends:
            found[one.key] = _rated(one, ends, begin, amounts, totals, cores)
            begin = max(ends.values())
    return found, max(0.0, manifest.seconds - sum(timed.wall for timed in found.values()))


def _rated(
    one: Pass, ends: dict[str, float], begin: float, amounts: Amounts, totals: dict[str, float], cores: int
) -> Timed:
    names = sorted(ends)
    wall, total = max(ends.values()) - begin, totals.get(one.counts, 1.0)
    if one.tasks in (DRIVER, SHUFFLE) or len(names) == 1:
        at_once = cores if one.tasks == SHUFFLE else 1
        return Timed(wall, len(names), total / max(wall, 1e-3) / at_once, 0.0)
    took = seconds_of_tasks([ends[name] - begin for name in names], cores)
    mine = amounts.get(one.counts, {})
    each = np.array([mine.get(name, total / len(names)) for name in names])
    later = np.arange(len(names)) >= cores if len(names) > cores else np.ones(len(names), dtype=bool)
    rate = max(each[later].sum(), 1.0) / max(took[later].sum(), 1e-3)
    start = max(0.0, float((took - each / rate)[~later].mean())) if (~later).any() else 0.0
    off = np.log(np.maximum(took[later], 1e-3) / np.maximum(each[later] / rate, 1e-3))
    return Timed(wall, len(names), float(rate), start, float(off.std()) if later.sum() > 2 else 0.0)


def without_ray(passes: dict[str, Timed]) -> dict[str, Timed]:
    """Passes of one task with the seconds of the shortest of them as those of starting: Ray's, not the task's."""
    alone = {key for key, one in passes.items() if one.tasks == 1 and key in _ON_RAY}
    least = min((passes[key].wall for key in alone), default=0.0)
    found = dict(passes)
    for key in alone:
        one = passes[key]
        start = min(least, MOST_START * one.wall)
        found[key] = replace(one, start=start, rate=one.rate * one.wall / max(one.wall - start, 1e-3))
    return found


def seconds_of_tasks(ends: Sequence[float], cores: int) -> np.ndarray:
    """Seconds of each task, from the times since the pass began at which they ended; they start in their order, each as
    soon as a core is free."""
    free = [0.0] * min(cores, len(ends))
    took = []
    for end in ends:
        begin = heapq.heappop(free)
        took.append(max(0.0, end - begin))
        heapq.heappush(free, max(begin, end))
    return np.array(took)
