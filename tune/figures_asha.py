"""The figure of ASHA: the steps and losses of a grid under it, against the same grid run to its end."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from .figures import INK, Figure, Panel, legend, log_axis, loss_axis
from .report import Report
from .results import Result


def asha_figure(report: Report) -> Figure:
    """What ASHA spent and found on the grid that was also run to its end."""
    title = "ASHA against the full grid"
    asha = report.sweep.asha
    if asha is None:
        return Figure("asha", title, "", absent="the recipe asks for none (tune.asha_check)")
    share, ratio = asha.asha_steps / max(1, asha.grid_steps), asha.asha_loss / asha.grid_loss - 1
    caption = (
        f"The same {asha.trials} trials of row {asha.row}: ASHA took {share:.1%} of the grid's steps, its best "
        f"loss is {abs(ratio):.2%} {'above' if ratio >= 0 else 'below'} the grid's."
    )

    def steps(axes: Axes) -> None:
        values, names = [asha.grid_steps, asha.asha_steps], ["full grid", "ASHA"]
        axes.barh(names, values, height=0.5, color=[INK["soft"], INK["law"]])
        for name, value in zip(names, values, strict=True):
            axes.annotate(
                f"{value:,} · {value / max(1, asha.grid_steps):.0%}", (value, name), (5, 0),
                textcoords="offset points", va="center", fontsize=8.5,
            )  # fmt: skip
        axes.set_xlim(0, asha.grid_steps * 1.35)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("steps")

    panels = [Panel("steps", steps)]
    both = {phase: [r for r in report.results if r.phase == phase] for phase in ("grid", "asha")}
    measured = [one for found in both.values() for one in found if one.validation_loss is not None]
    if measured:
        panels.append(Panel("last loss of each trial", lambda axes: _draw_asha(axes, both, measured)))
    return Figure("asha", title, caption, panels)


def _draw_asha(axes: Axes, both: dict[str, list[Result]], measured: Sequence[Result]) -> None:
    best = min(one.rank for one in measured)
    high = min(max(one.rank for one in measured), best * 1.35)
    looks = (
        ("grid", ("finished",), "o", INK["soft"], "none", "full grid"),
        ("asha", ("finished",), "o", INK["law"], INK["law"], "ASHA, to the end"),
        ("asha", ("stopped",), "v", INK["law"], "none", "ASHA, stopped"),
    )
    for phase, states, marker, edge, face, label in looks:
        points = [(r.learning_rate, r.validation_loss) for r in both[phase] if r.state in states and r in measured]
        if points:
            size = 10 if phase == "grid" else 5
            axes.plot(*zip(*points, strict=True), marker, mec=edge, mfc=face, ms=size, ls="none", label=label)
    rates = [one.learning_rate for one in measured]
    log_axis(axes, "x", min(rates), max(rates), lambda value: f"{value:g}")
    loss_axis(axes, best, high)
    axes.set_xlabel("learning rate")
    legend(axes)
