"""Line charts: labels at the ends of lines, events as marks with words, axes with units."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from .scales import Scale, padded, thin
from .svg import drawing, element, line, polyline, spread, text
from .words import number

MOST_POINTS = 500  # of a line
_LETTER = 6.9  # units that a letter of a label takes


@dataclass(frozen=True)
class Series:
    """One line: (x, y) rising in x. `colour` is a name of tune/colours.py; `dots`: each point is a measurement of its
    own; `faint`: what stands behind the others."""

    name: str
    points: list[tuple[float, float]]
    colour: str = "transfer"
    dots: bool = False
    faint: bool = False


@dataclass(frozen=True)
class Event:
    """A place on the x axis with words: `point` marks stand below the axis, the others are lines through the chart."""

    x: float
    words: str
    colour: str = "soft"
    point: bool = False
    title: str = ""


@dataclass(frozen=True)
class Chart:
    """What is drawn. `levels` are values to compare with: (y, words)."""

    title: str
    x_title: str
    y_title: str
    series: Sequence[Series]
    events: Sequence[Event] = ()
    levels: Sequence[tuple[float, str]] = ()
    x_end: float | None = None  # where the axis ends, beyond the points
    from_zero: bool = False
    y_log: bool = False
    y_form: Callable[[float], str] = number
    said: Callable[[float], str] | None = None  # how values at the ends of lines are written, if not as on the axis

    def say(self, value: float) -> str:
        return (self.said or self.y_form)(value)


@dataclass(frozen=True)
class Size:
    """Of a drawing, in units that are pixels where it is not scaled; `right` is room for the labels of lines."""

    width: float
    height: float
    right: float = 110
    left: float = 52


WIDE, NARROW = Size(1000, 340, 132, 56), Size(360, 270, 112, 42)
SMALL, SMALL_NAMED, HALF = Size(360, 190, 60, 48), Size(360, 190, 118, 48), Size(400, 230, 20, 40)


def draw(chart: Chart, size: Size, x_log: bool = False) -> Markup:
    """The chart as SVG. Its numbers stand in data attributes, from which the page's script reads values back."""
    series = [_visible(one, x_log, chart.y_log) for one in chart.series]
    series = [one for one in series if one.points]
    x_log, y_log = x_log and bool(series), chart.y_log and bool(series)
    xs = [x for one in series for x, _ in one.points]
    ys = [y for one in series for _, y in one.points] + [y for y, _ in chart.levels]
    low, high = min(xs, default=0.0), max([*xs, chart.x_end or 0.0], default=1.0)
    words = [event for event in chart.events if not event.point]
    rows = min(3, len(words))
    top, bottom = 22 + 13 * rows, size.height - (46 if any(event.point for event in chart.events) else 36)
    x = Scale(
        low if x_log else min(low, 0.0) if low < 0.2 * high else low, high, size.left, size.width - size.right, x_log
    )
    low, high = (min(ys) / 1.15, max(ys) * 1.15) if y_log else padded(ys, from_zero=chart.from_zero)
    y = Scale(low, high, bottom, top, y_log)
    parts = [
        *_axes(chart, x, y, top, bottom),
        *(line(x.begin, y(value), x.end, y(value), "level") for value, _ in chart.levels),
        *_events(chart.events, x, top, bottom, rows),
        *(_line(one, x, y) for one in series),
        *_labels(series, chart, x, y, size),
    ]
    numbers = f"{x.low},{x.high},{x.begin},{x.end},{int(x.log)},{y.low},{y.high},{y.begin},{y.end},{int(y.log)}"
    return drawing(
        size.width, size.height, chart.title, _about(chart), *parts, kind="chart", data_scales=numbers,
        data_x=chart.x_title,
    )  # fmt: skip


def _visible(one: Series, x_log: bool, y_log: bool) -> Series:
    """What a logarithmic axis can show, with no more points than can be seen."""
    points = [(x, y) for x, y in one.points if (x > 0 or not x_log) and (y > 0 or not y_log)]
    return Series(one.name, thin(points, MOST_POINTS, x_log), one.colour, one.dots, one.faint)


def _axes(chart: Chart, x: Scale, y: Scale, top: float, bottom: float) -> list[Markup]:
    found = [text(0, 12, chart.y_title, "unit")]
    below = bottom + (24 if any(event.point for event in chart.events) else 17)
    for value in y.ticks(max(3, int((bottom - top) / 42))):
        found.append(line(x.begin, y(value), x.end, y(value), "grid"))
        found.append(text(x.begin - 7, y(value) + 4, chart.y_form(value), "tick", "end"))
    for value in x.ticks(max(3, int((x.end - x.begin) / 85))):
        found.append(text(x(value), below, number(value), "tick", "middle"))
        found.append(line(x(value), bottom, x(value), bottom + 4, "axis"))
    found.append(line(x.begin, bottom, x.end, bottom, "axis"))
    found.append(text(x.end, below + 15, chart.x_title, "unit", "end"))
    return found


def _events(events: Sequence[Event], x: Scale, top: float, bottom: float, rows: int) -> list[Markup]:
    """Lines with words above, in rows where they would meet; what finds no room keeps its line. Points as triangles."""
    found: list[Markup] = []
    ends = [-1e9] * rows
    for event in sorted(events, key=lambda one: one.x):
        if not x.low <= event.x <= x.high:
            continue
        place = x(event.x)
        if event.point:
            corners = (
                f"{place - 3.5:.1f},{bottom + 9:.1f} {place + 3.5:.1f},{bottom + 9:.1f} {place:.1f},{bottom + 2:.1f}"
            )
            tip = element("title", event.title or event.words)
            found.append(element("polygon", tip, points=corners, class_=f"f-{event.colour}"))
            continue
        row = next((at for at in range(rows) if ends[at] < place), None)
        tip = element("title", event.title or event.words)
        found.append(element("line", tip, x1=place, y1=top - 4, x2=place, y2=bottom, class_=f"event s-{event.colour}"))
        width = _LETTER * len(event.words)
        if row is None or len(event.words) == 0:
            continue
        left = place + width > x.end
        where = top - 8 - 13 * row
        if not left or ends[row] < place - width:
            found.append(
                text(place + (-3 if left else 3), where, event.words, f"note t-{event.colour}", "end" if left else None)
            )
            ends[row] = place + (6 if left else width + 8)
    return found


def _line(one: Series, x: Scale, y: Scale) -> Markup:
    places = [(x(a), y(b)) for a, b in one.points]
    kind = f"line s-{one.colour}" + (" faint" if one.faint else "")
    drawn = polyline(places, kind, data_name=one.name) if len(places) > 1 or one.dots else Markup("")
    if not one.dots and len(places) > 1:
        return drawn
    dots = (element("circle", cx=a, cy=b, r=3.2, class_=f"dot f-{one.colour}") for a, b in places)
    return drawn + Markup("").join(dots)


def _labels(series: Sequence[Series], chart: Chart, x: Scale, y: Scale, size: Size) -> list[Markup]:
    """Each line's last value and name at its end; levels' words likewise. They move apart where they would meet."""
    shown = [(one.points[-1][1], one.name, one.colour) for one in series if not one.faint]
    wanted = [(y(last), f"{chart.say(last)} {name}".strip(), f"label t-{colour}") for last, name, colour in shown]
    wanted += [(y(value), f"{chart.say(value)} {words}", "label t-soft") for value, words in chart.levels]
    places = spread([place for place, _, _ in wanted], 14, y.end + 4, y.begin)
    room = max(3, int((size.right - 8) / _LETTER))
    return [
        text(x.end + 8, place + 4, words if len(words) <= room else f"{words[: room - 1]}…", kind, title=words)
        for place, (_, words, kind) in zip(places, wanted, strict=True)
    ]


def _about(chart: Chart) -> str:
    """In words what can be seen: each line's beginning and end."""
    told = [
        f"{one.name or chart.y_title}: {chart.say(one.points[0][1])} at {chart.x_title} {number(one.points[0][0])}, "
        f"{chart.say(one.points[-1][1])} at {number(one.points[-1][0])}"
        for one in chart.series
        if one.points
    ]
    return "; ".join(told)
