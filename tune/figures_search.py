"""Figures of the search: loss curves of each row, valleys of the learning rate with and without transfer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ..core.errors import InputError
from .figures import INK, MARKERS, Figure, Panel, legend, log_axis, loss_axis, row_colours
from .report import Report
from .results import Curves, Result
from .valleys import Valley, fit_valley

SEARCHED = ("search", "finalists")
_KINDS = {True: "transfer", False: "standard"}


def by_size(results: Sequence[Result]) -> list[str]:
    """Names of the rows, the smallest first."""
    sizes = {result.row: result.parameters for result in results}
    return sorted(sizes, key=lambda row: sizes[row])


def curves_figure(report: Report) -> Figure:
    """A panel a row: its trials, the best of them in bold, and the ladder's run with the ends of its branches."""
    title = "Loss curves"
    caption = (
        "Validation loss over the tokens seen, a panel a row. A cross ends a trial that diverged, a dot one that was "
        "stopped; the best trial of the search is bold."
    )
    if any(result.phase == "ladder" for result in report.results):
        caption += " Squares are the ends of the ladder's decays."
    drawn = {name: curve for name, curve in report.curves.items() if curve}
    if not drawn:
        return Figure("curves", title, caption, absent="no trial reported a loss")
    rows = [row for row in by_size(report.results) if _curves_of(row, report.results, drawn)]
    tokens = [t for curve in drawn.values() for t, _ in curve if t > 0]
    losses = [loss for curve in drawn.values() for _, loss in curve if np.isfinite(loss)]
    high = float(np.quantile(losses, 0.97)) if losses else 1.0  # what leaves it is a start, or diverges

    def panel(row: str) -> Panel:
        def draw(axes: Axes) -> None:
            _draw_curves(axes, [r for r in report.results if r.row == row], drawn)
            log_axis(axes, "x", min(tokens), max(tokens))
            loss_axis(axes, min(losses, default=0.0), high)
            axes.set_xlabel("tokens")

        return Panel(row, draw)

    return Figure("curves", title, caption, [panel(row) for row in rows])


def _curves_of(row: str, results: Sequence[Result], curves: Curves) -> list[str]:
    """Names of the row's curves; a ladder's result may be named after its run with the length behind it."""
    names = [result.name for result in results if result.row == row]
    exact = [name for name in names if name in curves]
    return exact or [curve for curve in curves if any(name.startswith(f"{curve}-") for name in names)]


def _draw_curves(axes: Axes, results: Sequence[Result], curves: Curves) -> None:
    searched = [result for result in results if result.phase != "ladder"]
    tried = [result for result in searched if result.phase in SEARCHED]
    best = {kind: min((r for r in tried if r.transfer is kind), key=lambda r: r.rank, default=None) for kind in _KINDS}
    for result in searched:
        curve = curves.get(result.name, [])
        if not curve:
            continue
        colour, bold = INK[_KINDS[result.transfer]], result is best[result.transfer]
        axes.plot(*zip(*curve, strict=True), color=colour, lw=2.2 if bold else 0.9, alpha=1 if bold else 0.4)
        finite = [point for point in curve if np.isfinite(point[1])]
        if result.state in ("diverged", "stopped") and finite:
            axes.plot(*finite[-1], "x" if result.state == "diverged" else "o", color=colour, ms=5 if bold else 3.5)
    ladder = [result for result in results if result.phase == "ladder"]
    names = _curves_of(ladder[0].row, ladder, curves) if ladder else []
    for name in names:
        axes.plot(*zip(*curves[name], strict=True), color=INK["ladder"], lw=1.4)
    ends = [(r.tokens, r.validation_loss) for r in ladder if r.validation_loss is not None]
    if ends:
        axes.plot(*zip(*ends, strict=True), "s", color=INK["ladder"], mec=INK["surface"], ms=6)
    handles = [
        Line2D([], [], color=INK[_KINDS[kind]], lw=2.2, label=f"{_KINDS[kind]}, best at {one.learning_rate:.3g}")
        for kind, one in best.items()
        if one is not None and one.validation_loss is not None
    ]
    if ladder:
        handles.append(Line2D([], [], color=INK["ladder"], marker="s", label="ladder, branch ends"))
    legend(axes, handles, columns=2)


def valleys_of(results: Sequence[Result], transfer: bool) -> dict[str, tuple[list[float], list[float], Valley | None]]:
    """By row, smallest first: the learning rates, the lowest loss at each (NaN: diverged or failed), the minimum.

    Of the search's trials that ran to their end, and of those that diverged; the minimum is None for fewer than three.
    """
    ended = [one for one in results if one.state in ("finished", "diverged", "failed")]
    searched = [one for one in ended if one.transfer is transfer and one.phase in SEARCHED]
    found = {}
    for row in by_size(results):
        tried: dict[float, list[float]] = {}
        for one in searched:
            if one.row == row:
                loss = one.validation_loss if one.state == "finished" else None
                tried.setdefault(one.learning_rate, []).append(np.inf if loss is None else loss)
        if not tried:
            continue
        rates = sorted(tried)
        losses = [low if np.isfinite(low := min(tried[rate])) else np.nan for rate in rates]
        try:
            found[row] = (rates, losses, fit_valley(rates, losses))
        except InputError:
            found[row] = (rates, losses, None)
    return found


def valleys_figure(report: Report) -> Figure:
    """Loss over the learning rate, a line a width: with transfer beside without it, on the same axes."""
    title = "Learning-rate valleys"
    caption = (
        "The lowest loss at each learning rate, of trials that ran to their end; rings mark the minima (a parabola "
        "through the points about the lowest), a cross at the upper edge a trial that diverged."
    )
    valleys = {kind: valleys_of(report.results, kind) for kind in _KINDS}
    valleys = {kind: found for kind, found in valleys.items() if found}
    if not valleys:
        return Figure("valleys", title, caption, absent="no trial of the search ran to its end")
    rates = [rate for found in valleys.values() for tried, _, _ in found.values() for rate in tried]
    lows = [float(np.nanmin(y)) for found in valleys.values() for _, y, _ in found.values() if np.isfinite(y).any()]
    tops = [loss for found in valleys.values() for _, y, _ in found.values() for loss in y if np.isfinite(loss)]
    low, lowest_of_worst = min(lows, default=0.0), max(lows, default=1.0)
    high = min(max(tops, default=1.0), lowest_of_worst + max(0.3, 0.9 * (lowest_of_worst - low)))
    colours = row_colours(by_size(report.results))

    def panel(kind: bool) -> Panel:
        def draw(axes: Axes) -> None:
            for at, (row, (tried, losses, valley)) in enumerate(valleys[kind].items()):
                _draw_valley(axes, tried, losses, valley, colours[row], MARKERS[at % len(MARKERS)], row)
            log_axis(axes, "x", min(rates), max(rates), lambda value: f"{value:g}")
            loss_axis(axes, low, high)
            axes.set_xlabel("learning rate" + (" at the base's shape" if kind else ""))
            legend(axes)

        return Panel(f"{'with' if kind else 'without'} transfer{_drift(report, kind)}", draw)

    if len(valleys) == 1:
        caption += " The sweep made no trials " + ("without" if True in valleys else "with") + " transfer to compare."
    return Figure("valleys", title, caption, [panel(kind) for kind in valleys])


def _drift(report: Report, transfer: bool) -> str:
    steps, factor = report.sweep.drift.get(_KINDS[transfer]), report.sweep.grid_factor
    if steps is None:
        return ""
    return f": drift {steps:.2g} grid steps" + (f" of ×{factor:.3g}" if factor else "")


def _draw_valley(
    axes: Axes, rates: list[float], losses: list[float], valley: Valley | None, colour: str, marker: str, row: str
) -> None:
    axes.plot(rates, losses, marker=marker, color=colour, mec=INK["surface"], label=row)
    gone = [rate for rate, loss in zip(rates, losses, strict=True) if not np.isfinite(loss)]
    if gone:
        axes.plot(gone, [0.97] * len(gone), "x", color=colour, mew=1.6, transform=axes.get_xaxis_transform())
    if valley is not None:
        axes.axvline(valley.best, color=colour, lw=0.8, ls=(0, (2, 3)))
        axes.plot(valley.best, valley.loss, "o", mfc="none", mec=colour, mew=1.6, ms=12)
