"""SVG as text: elements with escaped texts and attributes. Colours are CSS classes, so that one drawing is light and
dark."""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup, escape


def element(name: str, *children: str, **attributes: object) -> Markup:
    """One element. `class_` is class, `text_anchor` is text-anchor; None leaves out. Children that are not Markup are
    escaped."""
    pairs = ((key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items() if value is not None)
    listed = Markup("").join(Markup(' {}="{}"').format(key, _short(value)) for key, value in pairs)
    if not children:
        return Markup("<{}{}/>").format(name, listed)
    return Markup("<{}{}>{}</{}>").format(name, listed, Markup("").join(escape(one) for one in children), name)


def text(x: float, y: float, words: str, kind: str = "", anchor: str | None = None, title: str = "") -> Markup:
    """Words at a place; `anchor` is start, middle or end. `title` is shown when the pointer rests on them."""
    tip = (element("title", title),) if title else ()
    return element("text", words, *tip, x=x, y=y, class_=kind or None, text_anchor=anchor)


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=kind)


def polyline(points: Iterable[tuple[float, float]], kind: str, **attributes: object) -> Markup:
    """`points` are places in the drawing."""
    return element("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points), class_=kind, **attributes)


def drawing(
    width: float, height: float, title: str, about: str, *children: str, kind: str = "", **data: object
) -> Markup:
    """The whole: a screen reader says `title` and `about`."""
    return element(
        "svg",
        element("title", title),
        element("desc", about),
        *children,
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        class_=kind or None,
        aria_label=title,
        **data,
    )


def spread(places: list[float], least: float, low: float, high: float) -> list[float]:
    """Places for labels near the wanted ones, at least so far apart, within low … high as far as they fit."""
    order = sorted(range(len(places)), key=lambda at: places[at])
    found = sorted(min(max(one, low), high) for one in places)
    for at in range(1, len(found)):
        found[at] = max(found[at], found[at - 1] + least)
    over = max(0.0, found[-1] - high) if found else 0.0
    for at in range(len(found) - 1, -1, -1):
        limit = high - least * (len(found) - 1 - at)
        found[at] = min(found[at], limit) if over else found[at]
    back = [0.0] * len(places)
    for place, at in zip(found, order, strict=True):
        back[at] = place
    return back


def _short(value: object) -> object:
    """Places to a tenth: nobody sees more, and the page stays small."""
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else value
