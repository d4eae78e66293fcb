"""How long the earlier attempts at a stage took that the last one went on from, as far as its folder tells.

A manifest has the time of the attempt that finished the stage. What trains writes down besides when its workers began
and when its checkpoints came into place (train/course.py), through all attempts; other stages leave nothing of the
kind. An attempt that was killed counts from its workers' beginning to its last checkpoint, so the sum is never more
than the time that was spent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .reading import finite


def earlier_seconds(course: Iterable[Mapping[str, Any]], seconds: float) -> float:
    """Of a stage whose last attempt took `seconds`; `course`: the lines of its course.jsonl, in their order.

    The last attempt ended when the last line was written, or later: what lies more than `seconds` before that line is
    of earlier ones. Workers that were started again within an attempt are no attempt of their own.
    """
    spans = _spans(course)
    begun = max((end for _, end in spans), default=0.0) - seconds
    return sum(max(0.0, min(end, begun) - start) for start, end in spans)


def _spans(course: Iterable[Mapping[str, Any]]) -> list[tuple[float, float]]:
    """When workers began, and the last that is known of them."""
    found: list[tuple[float, float]] = []
    for line in course:
        time = finite(line.get("time"))
        if time is None:
            continue
        if line.get("what") == "start":
            found.append((time, time))
        elif found:
            found[-1] = (found[-1][0], max(found[-1][1], time))
    return found
