"""Columns: how many there are of each size."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from .scales import padded
from .svg import drawing, element, line, text
from .words import count, short


def columns(
    title: str, x_title: str, y_title: str, values: Sequence[tuple[str, int]], width: float, height: float = 210
) -> Markup:
    """One column a pair of words and a number, which stands above it; heights from zero."""
    left, top, bottom = 4.0, 34.0, height - 38
    _, high = padded([number for _, number in values], from_zero=True)
    each = (width - 2 * left) / max(1, len(values))
    parts = [text(0, 12, y_title, "unit"), text(width - left, height - 4, x_title, "unit", "end")]
    for at, (words, number) in enumerate(values):
        tall = (bottom - top) * number / high
        middle = left + each * (at + 0.5)
        tip = element("title", f"{words}: {count(number)}")
        wide = min(0.82 * each, 56.0)
        bar = {"x": middle - wide / 2, "y": bottom - tall, "width": wide, "height": tall}
        parts.append(element("rect", tip, class_="f-transfer", rx=1.5, **bar))
        if number:
            said = count(number) if each > 7 * len(count(number)) else short(float(f"{number:.2g}"))
            parts.append(text(middle, bottom - tall - 5, said, "tick", "middle"))
        parts.append(text(middle, bottom + 15, words, "tick", "middle"))
    parts.append(line(left, bottom, width - left, bottom, "axis"))
    about = ", ".join(f"{words}: {count(number)}" for words, number in values)
    return drawing(width, height, title, about, *parts, kind="columns")


def interval(value: float, low: float | None, high: float | None, chance: float | None) -> Markup:
    """A share from 0 to 1 as a dot with its interval, and a tick where chance is; for a cell of a table."""
    width, height = 220.0, 20.0

    def at(share: float) -> float:
        return 6 + (width - 12) * min(1.0, max(0.0, share))

    parts = [line(at(0), height / 2, at(1), height / 2, "grid")]
    if chance is not None:
        parts.append(line(at(chance), 2, at(chance), height - 2, "chance"))
    if low is not None and high is not None:
        wide = max(2.0, at(high) - at(low))
        parts.append(element("rect", x=at(low), y=height / 2 - 5, width=wide, height=10, rx=2, class_="range"))
    parts.append(element("circle", cx=at(value), cy=height / 2, r=3, class_="f-transfer"))
    ends = "" if low is None or high is None else f", 95 % interval {100 * low:.1f} to {100 * high:.1f}"
    about = f"{100 * value:.1f} percent{ends}" + ("" if chance is None else f", chance {100 * chance:.1f}")
    return drawing(width, height, about, "", *parts, kind="interval")
