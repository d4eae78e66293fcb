"""Axes: from values to places, and the round numbers at which an axis is marked."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Maps low … high to begin … end, evenly or by logarithms."""

    low: float
    high: float
    begin: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = (self._of(one) for one in (self.low, self.high, value))
        return self.begin + (self.end - self.begin) * ((at - low) / (high - low) if high > low else 0.5)

    def _of(self, value: float) -> float:
        return math.log10(max(value, 1e-300)) if self.log else value

    def ticks(self, most: int) -> list[float]:
        """Round numbers within the scale, at most about so many."""
        return log_ticks(self.low, self.high, most) if self.log else even_ticks(self.low, self.high, most)


def even_ticks(low: float, high: float, most: int) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten."""
    if not high > low:
        return [low]
    rough = (high - low) / max(1, most)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * one for one in (1, 2, 5, 10) if power * one >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(at * step, 12) for at in range(first, last + 1)]


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """Powers of ten, with their 2 and 5 where there is room; every n-th power where there is not."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for parts in ((1, 2, 5), (1, 3), (1,)):
        found = [part * 10.0**power for power in range(first, last + 1) for part in parts]
        found = [one for one in found if low * 0.999 <= one <= high * 1.001]
        if len(found) <= most:
            return found
    return found[:: -(-len(found) // most)]


def padded(values: Iterable[float], share: float = 0.05, from_zero: bool = False) -> tuple[float, float]:
    """The range of the values with a margin; one that is worth seeing also where all are equal."""
    known = list(values)
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    if from_zero:
        return 0.0, (high if high > 0 else 1.0) * (1 + share)
    room = (high - low) * share or abs(high) * share or 1.0
    return low - room, high + room


Point = tuple[float, float]


def inner_top(points: Sequence[Point]) -> float:
    """How high a chart need go to show nearly all of a falling curve well; infinite where nothing need be left out.

    The first 3 % of the way do not count, nor does the highest half percent of the rest, and some room is left.
    """
    if len(points) < 50:
        return math.inf
    begin, end = points[0][0], points[-1][0]
    rest = sorted(y for x, y in points if x >= begin + 0.03 * (end - begin))
    usual, low = rest[int(0.995 * (len(rest) - 1))], rest[0]
    top = usual + 0.35 * (usual - low)
    return top if max(y for _, y in points) > usual + 1.5 * (usual - low) else math.inf


def below(points: Sequence[Point], high: float) -> list[list[Point]]:
    """The pieces of a line that are no higher, cut where it crosses."""
    pieces: list[list[Point]] = []
    before: Point | None = None
    for point in points:
        crosses = before is not None and (before[1] > high) != (point[1] > high)
        if before is not None and crosses:
            share = (high - before[1]) / (point[1] - before[1])
            edge = (before[0] + share * (point[0] - before[0]), high)
            pieces[-1:] = [[*pieces[-1], edge]] if point[1] > high else [*pieces[-1:], [edge]]
        if point[1] <= high:
            if before is None:
                pieces.append([])
            pieces[-1].append(point)
        before = point
    return pieces


def trend(points: Sequence[Point], stretches: int, log: bool = False) -> list[Point]:
    """The medians of so many stretches, evenly or by logarithms; from the first point to the last."""
    return [
        (statistics.median(x for x, _ in some), statistics.median(y for _, y in some))
        for some in _stretches(points, stretches, log)
    ]


def thin(points: list[Point], most: int, log: bool = False) -> list[Point]:
    """So few points that a line of them looks like the line of all: of each stretch the lowest and the highest."""
    if len(points) <= most:
        return points
    kept = {points[0], points[-1]}
    for some in _stretches(points, max(1, most // 2), log):
        kept |= {min(some, key=lambda one: one[1]), max(some, key=lambda one: one[1])}
    return sorted(kept)


def _stretches(points: Sequence[Point], number: int, log: bool) -> list[list[Point]]:
    begin, end = points[0][0], points[-1][0]
    scale = Scale(max(begin, 1e-9) if log else begin, end, 0, number - 1e-6, log)
    found: dict[int, list[Point]] = {}
    for point in points:
        found.setdefault(int(scale(point[0])), []).append(point)
    return [found[at] for at in sorted(found)]
