"""How figures are drawn: panels, each by one function, on paper as PNG and on the page as SVG.

A PNG holds all panels of a figure side by side, dark on white. On the page each panel is an SVG of its own, which wraps
where the window is narrow; its colours are CSS variables, so that one drawing is both light and dark.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from ..core.files import atomic_path
from .colours import COLOURS
from .show import short

INK = {name: light for name, (light, _) in COLOURS.items()}
MARKERS = "osD^vP"
_STEPS = 6  # of the ramp of rows, small to large
_PANEL = (4.6, 3.5)  # inches
_MOST_COLUMNS = 3  # of a PNG
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a name may hold dollars
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.labelcolor": INK["soft"],
    "axes.edgecolor": INK["line"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": INK["line"],
    "grid.linewidth": 0.6,
    "text.color": INK["ink"],
    "xtick.color": INK["soft"],
    "ytick.color": INK["soft"],
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "legend.labelcolor": INK["soft"],
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "lines.markersize": 5,
}


@dataclass(frozen=True)
class Panel:
    title: str
    draw: Callable[[Axes], None]


@dataclass(frozen=True)
class Figure:
    """One figure of the report. `absent` says why there is nothing to draw; then it has no panels."""

    name: str  # of its file, without .png
    title: str
    caption: str
    panels: Sequence[Panel] = field(default=())
    absent: str = ""

    def save(self, folder: Path) -> Path:
        """Write all panels as one PNG, and return its path."""
        columns = min(_MOST_COLUMNS, len(self.panels))
        lines = math.ceil(len(self.panels) / columns)
        with matplotlib.rc_context(_STYLE):
            canvas = Canvas((_PANEL[0] * columns, _PANEL[1] * lines), layout="constrained", facecolor=INK["surface"])
            for place, panel in enumerate(self.panels, start=1):
                _draw(canvas.add_subplot(lines, columns, place), panel, panel.title)
            path = folder / f"{self.name}.png"
            with atomic_path(path) as partial:
                canvas.savefig(partial, format="png", dpi=150)
        return path

    def svgs(self) -> list[str]:
        """Each panel as an <svg> element for HTML; its title is left to the page."""
        return [_svg(panel, f"{self.name}-{number}") for number, panel in enumerate(self.panels, start=1)]


def _draw(axes: Axes, panel: Panel, title: str) -> None:
    axes.set_facecolor("none")
    axes.tick_params(length=0)
    panel.draw(axes)
    legend = axes.get_legend()
    lines = math.ceil(len(legend.get_texts()) / legend._ncols) if legend else 0  # pyright: ignore
    axes.set_title(title, pad=6 + 13 * lines)


def _svg(panel: Panel, prefix: str) -> str:
    """Ids get a prefix, for all drawings share the page; colours become variables, metadata and namespaces go."""
    out = io.StringIO()
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": prefix}):
        canvas = Canvas(_PANEL, layout="constrained", facecolor="none")
        _draw(canvas.add_subplot(), panel, "")
        canvas.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    text = out.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'<svg[^>]*?viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" role="img" aria-label="">', text, count=1)
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    text = re.sub(r'(url\(#|xlink:href="#)', rf"\g<1>{prefix}-", text).replace("xlink:href", "href")
    text = re.sub(r"font-family: [^;\"]*|(?<=px )'DejaVu Sans'[^;\"]*", _font, text)
    for name, light in INK.items():
        text = text.replace(light, f"var(--{name})")
    return text


def _font(found: re.Match[str]) -> str:
    return "font-family: inherit" if found.group().startswith("font-family") else "system-ui, sans-serif"


def row_colours(names: Sequence[str]) -> dict[str, str]:
    """A step of the ramp for each row, the rows in the order of their sizes."""
    last = max(1, len(names) - 1)
    return {name: INK[f"row{1 + round(at * (_STEPS - 1) / last)}"] for at, name in enumerate(names)}


def log_axis(axes: Axes, which: str, low: float, high: float, form: Callable[[float], str] = short) -> None:
    """A logarithmic axis with plain numbers: at 1, 2, 5 where it spans less than two decades."""
    margin = (high / low) ** 0.06 if high > low else 1.5
    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    (axes.set_xlim if which == "x" else axes.set_ylim)(low / margin, high * margin)
    decades = math.log10(high / low) if high > low else 0
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 2.2 else (1,), numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: form(value)))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def legend(axes: Axes, handles: Sequence[Artist] | None = None, columns: int = 4) -> None:
    """Above the panel, between title and data, where it covers no point."""
    shown = axes.get_legend_handles_labels()[0] if handles is None else list(handles)
    if shown:
        axes.legend(
            handles=shown, loc="lower left", bbox_to_anchor=(0, 1), ncols=min(columns, len(shown)), borderpad=0.1,
            borderaxespad=0.2, columnspacing=1.1, handletextpad=0.5, labelspacing=0.3, handlelength=1.4,
        )  # fmt: skip


def loss_axis(axes: Axes, low: float, high: float, label: str = "validation loss, nats a token") -> None:
    margin = 0.05 * max(high - low, 1e-3)
    axes.set_ylim(low - margin, high + margin)
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.set_ylabel(label)


def scientific(value: float) -> str:
    """3e+15 as 3e15."""
    return re.sub(r"e\+?(-?)0*", r"e\1", f"{value:.3g}") if value >= 1e5 else f"{value:g}"
