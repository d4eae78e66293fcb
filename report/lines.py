"""Line charts: a line a series, with values at their ends, axes with units, and what report/annotations.py adds.

A noisy line of many points is drawn pale, with the medians of its stretches over it. A chart that may be cropped leaves
out heights that few points reach, as at the start of training; arrows say how high the line goes there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from .annotations import Event, Label, draw_events, draw_labels, draw_levels
from .scales import Scale, below, inner_top, padded, thin, trend
from .svg import drawing, element, line, polyline, text
from .words import number

MOST_POINTS, NOISY, STRETCHES, MOST_DOTS = 500, 200, 100, 30
_ARROWS = 3  # with how high a line goes


@dataclass(frozen=True)
class Series:
    """One line: (x, y) rising in x. `colour` is a name of tune/colours.py; `dots`: each point is a measurement of its
    own; `pale`: what stands behind the others."""

    name: str
    points: list[tuple[float, float]]
    colour: str = "transfer"
    dots: bool = False
    pale: bool = False
    smooth: bool = True  # where there are many points


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
    crop: bool = False
    y_form: Callable[[float], str] = number
    said: Callable[[float], str] | None = None  # how values at the ends of lines are written, if not as on the axis

    def say(self, value: float) -> str:
        return (self.said or self.y_form)(value)


@dataclass(frozen=True)
class Size:
    """Of a drawing, in units that are pixels where it is not scaled; `right` is room for the labels of lines."""

    width: float
    height: float
    right: float
    left: float


WIDE, NARROW = Size(1000, 340, 132, 56), Size(360, 270, 112, 42)
SMALL, SMALL_NAMED, HALF = Size(360, 190, 66, 48), Size(360, 190, 118, 48), Size(400, 230, 20, 40)


def draw(chart: Chart, size: Size, x_log: bool = False) -> Markup:
    """The chart as SVG. Its numbers stand in data attributes, from which the page's script reads values back."""
    series = [some for one in chart.series for some in _visible(one, x_log, chart.y_log)]
    x_log, y_log = x_log and bool(series), chart.y_log and bool(series)
    rows = min(3, sum(not event.point for event in chart.events))
    points = any(event.point for event in chart.events)
    top, bottom = 22 + 13 * rows, size.height - (46 if points else 36)
    x = _x_scale(chart, series, x_log, size)
    y = Scale(*_range(chart, series, x_log, y_log), bottom, top, y_log)
    shown = [one for one in series if not one.pale]
    labels = [
        Label(one.points[-1][1], f"{chart.say(one.points[-1][1])} {one.name}".strip(), one.colour) for one in shown
    ]
    labels += [Label(value, f"{chart.say(value)} {words}") for value, words in chart.levels]
    parts = [
        *_axes(chart, x, y, bottom, bottom + (24 if points else 17)),
        *draw_levels([value for value, _ in chart.levels], x, y),
        *draw_events(chart.events, x, top, bottom, rows),
        *(_line(one, x, y) for one in series),
        *_arrows(chart, series, x, y),
        *draw_labels(labels, y, x.end, size.right),
    ]
    numbers = f"{x.low},{x.high},{x.begin},{x.end},{int(x.log)},{y.low},{y.high},{y.begin},{y.end},{int(y.log)}"
    return drawing(
        size.width, size.height, chart.title, _about(chart), *parts, kind="chart", data_scales=numbers,
        data_x=chart.x_title,
    )  # fmt: skip


def _visible(one: Series, x_log: bool, y_log: bool) -> list[Series]:
    """What a logarithmic axis can show, with no more points than can be seen; of a noisy line its trend over it."""
    points = [(x, y) for x, y in one.points if (x > 0 or not x_log) and (y > 0 or not y_log)]
    if not points:
        return []
    drawn = replace(one, points=thin(points, MOST_POINTS, x_log))
    if one.dots or not one.smooth or len(points) <= NOISY:
        return [drawn]
    return [replace(drawn, pale=True), replace(one, points=trend(points, STRETCHES, x_log))]


def _x_scale(chart: Chart, series: Sequence[Series], log: bool, size: Size) -> Scale:
    """From the first point, or from zero where that is near."""
    xs = [x for one in series for x, _ in one.points]
    low, high = min(xs, default=0.0), max([*xs, chart.x_end or 0.0])
    if not log and low < 0.2 * high:
        low = min(low, 0.0)
    return Scale(low, high, size.left, size.width - size.right, log)


def _range(chart: Chart, series: Sequence[Series], x_log: bool, y_log: bool) -> tuple[float, float]:
    """Of the lines, and of the levels that are near them."""
    points = sorted(point for one in series for point in one.points)
    ys = [y for _, y in points]
    if y_log:
        return min(ys) / 1.15, max(ys) * 1.15
    if chart.crop and not x_log:
        top = inner_top(points)
        ys = [y for y in ys if y <= top]
    room = (max(ys) - min(ys)) or abs(max(ys)) if ys else 1.0
    ys += [value for value, _ in chart.levels if not ys or min(ys) - room <= value <= max(ys) + room]
    return padded(ys, from_zero=chart.from_zero)


def _axes(chart: Chart, x: Scale, y: Scale, bottom: float, under: float) -> list[Markup]:
    """`under`: where the words of the x axis stand."""
    found = [text(0, 12, chart.y_title, "unit")]
    for value in y.ticks(max(3, int((bottom - y.end) / 42))):
        found.append(line(x.begin, y(value), x.end, y(value), "grid"))
        found.append(text(x.begin - 7, y(value) + 4, chart.y_form(value), "tick", "end"))
    for value in x.ticks(max(3, int((x.end - x.begin) / 85))):
        found.append(text(x(value), under, number(value), "tick", "middle"))
        found.append(line(x(value), bottom, x(value), bottom + 4, "axis"))
    found.append(line(x.begin, bottom, x.end, bottom, "axis"))
    found.append(text(x.end, under + 15, chart.x_title, "unit", "end"))
    return found


def _line(one: Series, x: Scale, y: Scale) -> Markup:
    """In as many pieces as lie within the chart."""
    found = Markup("")
    for part in below(one.points, y.high):
        places = [(x(a), y(b)) for a, b in part]
        if len(places) > 1 or one.dots:
            kind = f"line s-{one.colour}" + (" pale" if one.pale else "")
            found += polyline(places, kind, data_name=None if one.pale else one.name)
        if (one.dots and len(one.points) <= MOST_DOTS) or len(one.points) == 1:
            found += Markup("").join(
                element("circle", cx=a, cy=b, r=3.2, class_=f"dot f-{one.colour}")
                for a, b in ((x(a), y(b)) for a, b in part if (a, b) in one.points)
            )
    return found


def _arrows(chart: Chart, series: Sequence[Series], x: Scale, y: Scale) -> list[Markup]:
    """How high the first line goes where it leaves the chart: at its highest places, apart from each other."""
    points = series[0].points if series else []
    found: list[tuple[float, Markup]] = []
    for at, value in sorted((point for point in points if point[1] > y.high), key=lambda point: -point[1]):
        back = next((other for other, low in points if other > at and low <= y.high), at)  # where it has come down
        place = min(x(back) + 6, x.end - 40)
        if len(found) < _ARROWS and all(abs(place - other) > 60 for other, _ in found):
            found.append((place, text(place, y.end + 9, f"↑ {chart.say(value)}", f"note t-{series[0].colour}")))
    return [drawn for _, drawn in found]


def _about(chart: Chart) -> str:
    """In words what can be seen: each line's beginning and end."""
    told = [
        f"{one.name or chart.y_title}: {chart.say(one.points[0][1])} at {chart.x_title} {number(one.points[0][0])}, "
        f"{chart.say(one.points[-1][1])} at {number(one.points[-1][0])}"
        for one in chart.series
        if one.points
    ]
    return "; ".join(told)
