"""Two measurements of different size tell what each pass takes for a start, and what for its work.

A pass that is one piece of work, as the training of the tokenizer, shows nothing of its start in one run. Of two runs,
each in a fresh Ray, the straight line through both does. In the same way two sizes of tasks tell what a task takes
however small it is: else a sample's small tasks would make each byte look slow.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .passes import DRIVER, PASSES, SHUFFLE, Pass
from .run_profile import Profile
from .timing import Timed

LEAST_S = 1e-3
ALONE = (DRIVER, SHUFFLE)
APART = 1.3  # times more work in the larger run, from which the line says anything


@dataclass(frozen=True)
class Line:
    """Seconds as a straight line: `start`, and `each` for every one of what is counted."""

    start: float
    each: float

    def at(self, amount: float) -> float:
        return self.start + self.each * amount


def line_through(less: tuple[float, float], more: tuple[float, float]) -> Line:
    """The line through two points (amount, seconds); neither its start nor its slope is below 0.

    Where the second has hardly more work than the first, or took no longer, all is taken to be the start.
    """
    (few, short), (many, long) = less, more
    if many < few * APART:
        return Line(0.0, long / max(many, 1.0))
    each = max(0.0, (long - short) / (many - few))
    each = min(each, long / many)
    return Line(long - each * many, each)


def fitted(small: Profile, large: Profile) -> Profile:
    """The larger run's profile, with starts for the passes of one piece, seconds for each task, and rests, by both."""
    passes = dict(large.passes)
    for one in PASSES:
        if one.key not in small.passes or one.key not in large.passes or one.tasks == SHUFFLE:
            continue
        here, there = large.passes[one.key], small.passes[one.key]
        done, before = large.totals.get(one.counts, 1.0), small.totals.get(one.counts, 1.0)
        if one.tasks == DRIVER or here.tasks == there.tasks == 1:
            passes[one.key] = _with_start(here, done, line_through((before, there.wall), (done, here.wall)))
        elif here.tasks > 1 and there.tasks > 1:
            passes[one.key] = _with_task(
                here, done / here.tasks, before / there.tasks, there.rate, _least_task(large, one)
            )
    rest = {stage: min(seconds, small.rest.get(stage, seconds)) for stage, seconds in large.rest.items()}
    return replace(large, passes=passes, rest=rest)


def _with_start(timed: Timed, amount: float, line: Line) -> Timed:
    """A rate that is 1 / slope; where there is no slope, so high that its work takes nothing."""
    return replace(timed, start=min(line.start, timed.wall), rate=_rate(line, amount))


def _least_task(profile: Profile, but: Pass) -> float:
    """Seconds of a task of the other pass whose tasks are the quickest: what Ray and the files take for any."""
    others = [one for one in PASSES if one.key in profile.passes and one.tasks not in ALONE and one != but]
    many = [(one, profile.passes[one.key]) for one in others]
    each = [profile.totals.get(one.counts, 1.0) / timed.tasks / timed.rate for one, timed in many if timed.tasks > 1]
    return min(each, default=0.0)


def _with_task(timed: Timed, more: float, less: float, slower: float, floor: float) -> Timed:
    """`more`, `less`: the work of a task in either run; `slower`: the rate in the smaller; `floor`: seconds that a task
    takes at least."""
    took = more / timed.rate
    line = line_through((less, less / slower), (more, took))
    if line.start < floor:
        line = Line(floor, max(0.0, took - floor) / more)
    times = _rate(line, more) / timed.rate
    sources = {name: rate * times for name, rate in timed.by_source.items()}
    return replace(timed, task=line.start, rate=timed.rate * times, by_source=sources)


def _rate(line: Line, amount: float) -> float:
    return 1 / line.each if line.each > 0 else max(amount, 1.0) / LEAST_S
