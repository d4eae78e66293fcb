"""Figures of the laws: IsoFLOP parabolas, and the fit with its band, the forecast and the held-out run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from ..core.errors import InputError
from .figures import INK, MARKERS, Figure, Panel, legend, log_axis, loss_axis, row_colours, scientific
from .isoflop import Budget, isoflop
from .laws import FLOPS_PER_PARAMETER, LossLaw
from .report import Record, Report

LEVEL = 0.95
Points = list[dict[str, Any]]  # row, parameters, tokens, flops, loss, fitted (None without a law)


def points_of(report: Report) -> Points:
    """The points of the law; before there is one, the finished lengths of the ladder."""
    if report.forecast and report.forecast.get("points"):
        return list(report.forecast["points"])
    return [
        {"row": r.row, "parameters": r.parameters, "tokens": r.tokens, "flops": r.flops, "loss": r.validation_loss}
        for r in report.results
        if r.phase == "ladder" and r.state == "finished" and r.validation_loss is not None
    ]


def isoflop_figure(report: Report) -> Figure:
    """Loss over the size for each compute that three or more sizes share, with the parabolas of tune/isoflop.py."""
    title = "IsoFLOP curves"
    caption = (
        "Runs of about the same compute 6 N D (above, in FLOPs), their parabolas and the minima of these (rings): a "
        "cross-check of the fitted law that knows no formula for the loss. A budget whose lowest loss is at an end has "
        "no ring."
    )
    points = points_of(report)
    if not points:
        return Figure("isoflop", title, caption, absent="the sweep has no ladder whose runs could share a compute")
    n, d, loss = (np.array([point[key] for point in points], dtype=float) for key in ("parameters", "tokens", "loss"))
    try:
        budgets = isoflop(n, d, loss)
    except InputError as error:
        return Figure("isoflop", title, caption, absent=f"the points carry none: {error.message}")

    def draw(axes: Axes) -> None:
        flops = FLOPS_PER_PARAMETER * n * d
        nearest = np.abs(np.log(flops)[:, None] - np.log([b.flops for b in budgets])[None, :])
        shown = nearest.min(axis=1) < np.log1p(0.1)
        colours = row_colours([scientific(budget.flops) for budget in budgets])
        for at, budget in enumerate(budgets):
            mine = shown & (nearest.argmin(axis=1) == at)
            _draw_budget(axes, budget, n[mine], loss[mine], list(colours.values())[at], MARKERS[at % len(MARKERS)])
        log_axis(axes, "x", n[shown].min(), n[shown].max())
        loss_axis(axes, loss[shown].min(), loss[shown].max())
        axes.set_xlabel("parameters")
        legend(axes)

    return Figure("isoflop", title, caption, [Panel("loss over size at equal compute", draw)])


def _draw_budget(axes: Axes, budget: Budget, n: np.ndarray, loss: np.ndarray, colour: str, marker: str) -> None:
    valley = budget.valley
    axes.plot(n, loss, marker, color=colour, mec=INK["surface"], ls="none", label=scientific(budget.flops))
    if valley.curvature is None:
        order = np.argsort(n)
        axes.plot(n[order], loss[order], color=colour, lw=0.8, ls=":")
        return
    x = np.geomspace(n.min(), n.max(), 60)
    axes.plot(x, valley.loss + valley.curvature / 2 * np.log(x / valley.best) ** 2, color=colour, lw=1.1)
    axes.plot(valley.best, valley.loss, "o", mfc="none", mec=colour, mew=1.5, ms=11)


def fit_figure(report: Report) -> Figure:
    """The points and the law with its band over compute, forecast and held-out run; and what the law leaves over."""
    title = "Fit, forecast, held-out run"
    forecast, verification = report.forecast, report.verification
    if not forecast or not forecast.get("law"):
        return Figure("fit", title, "", absent="no forecast was made (it needs tune.ladder)")
    level, target = forecast.get("level", LEVEL), forecast.get("target")
    caption = (
        "Points are runs that the law was fitted to, with the law of each size as a thin line; the band is the law's "
        f"{level:.0%} interval for one more run."
    )
    if target and forecast.get("loss") is not None:
        caption += f" The forecast, of {target['row']}, was written at {forecast.get('written')}."
        caption += "" if verification else " That run is still to be made."
    points = points_of(report)
    rows = {p["row"]: p["parameters"] for p in sorted(points, key=lambda p: p["parameters"])}
    colours = row_colours(list(rows))

    def fit(axes: Axes) -> None:
        _draw_law(axes, forecast, points, colours)
        ends = _draw_outcome(axes, forecast, verification)
        flops = [p["flops"] for p in points] + [end[0] for end in ends]
        losses = [p["loss"] for p in points] + [end[1] for end in ends]
        log_axis(axes, "x", min(flops), max(flops), scientific)
        loss_axis(axes, min(losses), max(losses))
        axes.set_xlabel("compute, FLOPs")
        legend(axes, columns=5)

    def left_over(axes: Axes) -> None:
        _draw_residuals(axes, points, colours)
        flops = [p["flops"] for p in points]
        if target and verification:
            flops.append(target["flops"])
            low, high = ((end / forecast["loss"] - 1) * 100 for end in forecast["interval"])
            axes.plot([target["flops"]] * 2, [low, high], color=INK["law"], lw=5, alpha=0.35, solid_capstyle="butt")
            axes.plot(target["flops"], verification["error"] * 100, "*", color=INK["proof"], mec=INK["surface"], ms=13)
        log_axis(axes, "x", min(flops), max(flops), scientific)
        axes.set_xlabel("compute, FLOPs")
        axes.set_ylabel("measured over fitted loss, %")

    panels = [Panel("loss over compute", fit)]
    if any(p.get("fitted") for p in points):
        panels.append(Panel("what the law leaves over", left_over))
    return Figure("fit", title, caption, panels)


def _draw_law(axes: Axes, forecast: Record, points: Points, colours: dict[str, str]) -> None:
    law = LossLaw.model_validate(forecast["law"])
    band = np.array(forecast.get("band") or np.empty((0, 4)), dtype=float)
    if len(band):
        axes.fill_between(band[:, 0], band[:, 2], band[:, 3], color=INK["law"], alpha=0.16, lw=0)
        axes.plot(band[:, 0], band[:, 1], color=INK["law"], label="law")
    for at, (row, colour) in enumerate(colours.items()):
        mine = sorted((p for p in points if p["row"] == row), key=lambda p: p["tokens"])
        tokens = np.geomspace(mine[0]["tokens"], mine[-1]["tokens"], 40)
        per_token = mine[0]["flops"] / mine[0]["tokens"]
        axes.plot(tokens * per_token, law.loss(mine[0]["parameters"], tokens), color=colour, lw=0.9)
        axes.plot(
            [p["flops"] for p in mine], [p["loss"] for p in mine], MARKERS[at % len(MARKERS)], color=colour,
            mec=INK["surface"], ms=6, ls="none", label=row,
        )  # fmt: skip


def _draw_outcome(axes: Axes, forecast: Record, verification: Record | None) -> Sequence[tuple[float, float]]:
    """The forecast with its interval, the held-out run; and what has to lie within the axes."""
    target = forecast.get("target")
    if not target or forecast.get("loss") is None:
        return ()
    flops, loss, (low, high) = target["flops"], forecast["loss"], forecast["interval"]
    axes.errorbar(
        flops, loss, [[loss - low], [high - loss]], fmt="o", color=INK["law"], mfc=INK["surface"],
        ms=7, capsize=5, elinewidth=1.6, label="forecast",
    )  # fmt: skip
    ends = [(flops, low), (flops, high)]
    if verification:
        look = {"color": INK["proof"], "mec": INK["surface"], "ms": 13, "ls": "none", "zorder": 5}
        axes.plot(flops, verification["loss"], "*", label="held-out run", **look)
        ends.append((flops, verification["loss"]))
    return ends


def _draw_residuals(axes: Axes, points: Points, colours: dict[str, str]) -> None:
    axes.axhline(0, color=INK["law"], lw=1.2)
    for at, (row, colour) in enumerate(colours.items()):
        mine = [p for p in points if p["row"] == row and p.get("fitted")]
        over = [(p["loss"] / p["fitted"] - 1) * 100 for p in mine]
        marker = MARKERS[at % len(MARKERS)]
        axes.plot([p["flops"] for p in mine], over, marker, color=colour, mec=INK["surface"], ms=6, ls="none")
