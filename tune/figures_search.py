"""Figures of the search: loss curves of each row, valleys of the learning rate with and without transfer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from .figures import INK, MARKERS, Figure, Panel, legend, log_axis, loss_axis, row_colours
from .lessons import valleys
from .report import Report
from .results import Curves, Result
from .valleys import Valley

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
    rows = [
        row for row in by_size(report.results) if any(curve_of(one, drawn) for one in report.results if one.row == row)
    ]
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


def curve_of(result: Result, curves: Curves) -> list[tuple[int, float]]:
    """Of its trial; all lengths of a trial have the same."""
    return curves.get(f"{result.phase}/{result.name}", [])


def _draw_curves(axes: Axes, results: Sequence[Result], curves: Curves) -> None:
    searched = [result for result in results if result.phase != "ladder"]
    tried = [result for result in searched if result.phase in SEARCHED]
    best = {kind: min((r for r in tried if r.transfer is kind), key=lambda r: r.rank, default=None) for kind in _KINDS}
    for result in {(one.phase, one.name): one for one in sorted(searched, key=lambda one: -one.rank)}.values():
        curve = curve_of(result, curves)
        if not curve:
            continue
        colour, bold = INK[_KINDS[result.transfer]], result is best[result.transfer]
        axes.plot(*zip(*curve, strict=True), color=colour, lw=2.2 if bold else 0.9, alpha=1 if bold else 0.4)
        finite = [point for point in curve if np.isfinite(point[1])]
        if result.state in ("diverged", "stopped") and finite:
            axes.plot(*finite[-1], "x" if result.state == "diverged" else "o", color=colour, ms=5 if bold else 3.5)
    ladder = [result for result in results if result.phase == "ladder"]
    for curve in {one.name: curve_of(one, curves) for one in ladder}.values():
        if curve:
            axes.plot(*zip(*curve, strict=True), color=INK["ladder"], lw=1.4)
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


@dataclass(frozen=True)
class Tried:
    """A row's learning rates, rising, the lowest loss at each (NaN: diverged or failed), whether that was stopped."""

    rates: list[float]
    losses: list[float]
    stopped: list[bool]
    valley: Valley | None  # None for fewer than three rates, or where all diverged


def valleys_of(results: Sequence[Result], transfer: bool) -> dict[str, Tried]:
    """By row, the smallest first: the search's trials at their longest length, minima as tune/lessons.py has them."""
    searched = [one for one in results if one.phase == "search" and one.transfer is transfer]
    searched = [one for one in searched if one.state != "not started"]
    minima, found = valleys(searched), {}
    for row in by_size(searched):
        here = [one for one in searched if one.row == row]
        longest = max(one.tokens for one in here)
        best: dict[float, Result] = {}
        for one in sorted(here, key=lambda one: one.rank):
            if one.state != "finished" or one.tokens == longest:
                best.setdefault(one.learning_rate, one)
        rates = sorted(best)
        losses = [best[rate].rank if np.isfinite(best[rate].rank) else np.nan for rate in rates]
        stopped = [best[rate].state == "stopped" for rate in rates]
        found[row] = Tried(rates, losses, stopped, minima.get((row, transfer)))
    return found


def valleys_figure(report: Report) -> Figure:
    """Loss over the learning rate, a line a width: with transfer beside without it, on the same axes."""
    title = "Learning-rate valleys"
    caption = (
        "The lowest loss of the search at each learning rate; rings mark the minima (a parabola through the points "
        "about the lowest), hollow points trials that were stopped before their end, a cross at the upper edge one "
        "that diverged."
    )
    tried = {kind: found for kind in _KINDS if (found := valleys_of(report.results, kind))}
    if not tried:
        return Figure("valleys", title, caption, absent="no trial of the search was started")
    lines = [one for found in tried.values() for one in found.values()]
    rates = [rate for one in lines for rate in one.rates]
    lows = [float(np.nanmin(one.losses)) for one in lines if np.isfinite(one.losses).any()]
    tops = [loss for one in lines for loss in one.losses if np.isfinite(loss)]
    low, lowest_of_worst = min(lows, default=0.0), max(lows, default=1.0)
    high = min(max(tops, default=1.0), lowest_of_worst + max(0.3, 0.9 * (lowest_of_worst - low)))
    colours = row_colours(by_size(report.results))

    def panel(kind: bool) -> Panel:
        def draw(axes: Axes) -> None:
            for at, (row, one) in enumerate(tried[kind].items()):
                _draw_valley(axes, one, colours[row], MARKERS[at % len(MARKERS)], row)
            log_axis(axes, "x", min(rates), max(rates), lambda value: f"{value:g}")
            loss_axis(axes, low, high)
            axes.set_xlabel("learning rate" + (" at the base's shape" if kind else ""))
            legend(axes)

        return Panel(f"{'with' if kind else 'without'} transfer{_drift(report, kind)}", draw)

    if len(tried) == 1:
        caption += " The sweep made no trials " + ("without" if True in tried else "with") + " transfer to compare."
    return Figure("valleys", title, caption, [panel(kind) for kind in tried])


def _drift(report: Report, transfer: bool) -> str:
    steps, factor = report.sweep.drift.get(_KINDS[transfer]), report.sweep.grid_factor
    if steps is None:
        return ""
    least = "at least " if _KINDS[transfer] in report.sweep.drift_is_bound else ""
    return f": drift {least}{steps:.2g} grid steps" + (f" of ×{factor:.3g}" if factor else "")


def _draw_valley(axes: Axes, one: Tried, colour: str, marker: str, row: str) -> None:
    axes.plot(one.rates, one.losses, marker=marker, color=colour, mec=INK["surface"], label=row)
    points = list(zip(one.rates, one.losses, one.stopped, strict=True))
    if hollow := [(rate, loss) for rate, loss, stopped in points if stopped]:
        axes.plot(*zip(*hollow, strict=True), marker, mfc=INK["surface"], mec=colour, ls="none")
    if gone := [rate for rate, loss, _ in points if not np.isfinite(loss)]:
        axes.plot(gone, [0.97] * len(gone), "x", color=colour, mew=1.6, transform=axes.get_xaxis_transform())
    if one.valley is not None:
        axes.axvline(one.valley.best, color=colour, lw=0.8, ls=(0, (2, 3)))
        axes.plot(one.valley.best, one.valley.loss, "o", mfc="none", mec=colour, mew=1.6, ms=12)
