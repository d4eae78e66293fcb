"""What stands on a line chart beside its lines: events with words, values at their ends, levels to compare with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from .scales import Scale
from .svg import element, line, spread, text

LETTER = 6.9  # units that a letter of a label takes


@dataclass(frozen=True)
class Event:
    """A place on the x axis with words: `point` marks stand below the axis, the others are lines through the chart."""

    x: float
    words: str
    colour: str = "soft"
    point: bool = False
    title: str = ""


@dataclass(frozen=True)
class Label:
    """Words behind the end of a line, at the height of `y`."""

    y: float
    words: str
    colour: str = "soft"


def draw_events(events: Sequence[Event], x: Scale, top: float, bottom: float, rows: int) -> list[Markup]:
    """Lines with words above, in `rows` where they would meet; without room the line alone. Points as triangles."""
    found: list[Markup] = []
    ends = [-1e9] * rows  # of the words in each row
    for event in sorted(events, key=lambda one: one.x):
        if not x.low <= event.x <= x.high:
            continue
        place, tip = x(event.x), element("title", event.title or event.words)
        if event.point:
            low, high = bottom + 9, bottom + 2
            corners = f"{place - 3.5:.1f},{low:.1f} {place + 3.5:.1f},{low:.1f} {place:.1f},{high:.1f}"
            found.append(element("polygon", tip, points=corners, class_=f"f-{event.colour}"))
            continue
        found.append(element("line", tip, x1=place, y1=top - 4, x2=place, y2=bottom, class_=f"event s-{event.colour}"))
        width = LETTER * len(event.words)
        left = place + width > x.end  # the words stand to the left of their line
        begin, end = (place - width, place + 6) if left else (place, place + width + 8)
        row = next((at for at in range(rows) if ends[at] < begin), None)
        if row is not None:
            anchor, kind = "end" if left else None, f"note t-{event.colour}"
            found.append(text(place + (-3 if left else 3), top - 8 - 13 * row, event.words, kind, anchor))
            ends[row] = end
    return found


def draw_labels(labels: Sequence[Label], y: Scale, x: float, width: float) -> list[Markup]:
    """They move apart where they would meet; what is above or below the chart stands at its edge with an arrow."""
    words = [f"{'↑ ' * (one.y > y.high)}{'↓ ' * (one.y < y.low)}{one.words}" for one in labels]
    wanted = [y(min(y.high, max(y.low, one.y))) for one in labels]
    room = max(3, int((width - 8) / LETTER))
    return [
        text(
            x + 8, place + 4, said if len(said) <= room else f"{said[: room - 1]}…", f"label t-{one.colour}", None, said
        )
        for place, said, one in zip(spread(wanted, 14, y.end + 4, y.begin), words, labels, strict=True)
    ]


def draw_levels(levels: Sequence[float], x: Scale, y: Scale) -> list[Markup]:
    return [line(x.begin, y(one), x.end, y(one), "level") for one in levels if y.low <= one <= y.high]
