"""The report of a sweep as one HTML page that asks for nothing outside itself, beside it the PNGs of its figures.

FOLDER/index.html    figures as SVG, tables, warnings; light or dark as the reader's system is
FOLDER/NAME.png      curves, valleys, isoflop, fit, asha: those that there is something to draw of
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from .. import __version__
from ..core.files import write_text
from .colours import COLOURS
from .figures import Figure
from .figures_asha import asha_figure
from .figures_laws import fit_figure, isoflop_figure
from .figures_search import curves_figure, valleys_figure
from .report import Report, numbers
from .report_tables import (
    Table,
    busy_table,
    constants_table,
    outcome_table,
    points_table,
    results_table,
    shapes_table,
)

FILE_NAME = "index.html"
TEMPLATE = "report.html"


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write the page and the figures, and return their paths, the page's first."""
    figures = {
        "fit": fit_figure(report),
        "valleys": valleys_figure(report),
        "curves": curves_figure(report),
        "isoflop": isoflop_figure(report),
        "asha": asha_figure(report),
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / FILE_NAME, page(report, figures))
    drawn = [figure for figure in figures.values() if figure.panels]
    for figure in figures.values():
        if not figure.panels:  # an earlier report's must not stand beside this one
            (folder / f"{figure.name}.png").unlink(missing_ok=True)
    return [folder / FILE_NAME, *(figure.save(folder) for figure in drawn)]


def page(report: Report, figures: dict[str, Figure]) -> str:
    """The HTML. All values are escaped; only our own drawings are not, whose texts matplotlib escapes."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(TEMPLATE).render(
        name=report.run.recipe.name,
        light={name: light for name, (light, _) in COLOURS.items()},
        dark={name: dark for name, (_, dark) in COLOURS.items()},
        tiles=tiles(report),
        warnings=report.warnings,
        figures=figures,
        drawings={name: _drawings(figure) for name, figure in figures.items()},
        tables=_tables(report),
        commands=_commands(report),
        versions=_versions(report),
    )


def _drawings(figure: Figure) -> list[tuple[str, Markup]]:
    """Title and SVG of each panel; the SVG's label is what a screen reader says."""
    found = []
    for panel, svg in zip(figure.panels, figure.svgs(), strict=True):
        label = escape(f"{figure.title}: {panel.title}")
        found.append((panel.title, Markup(svg.replace('aria-label=""', f'aria-label="{label}"', 1))))
    return found


def _tables(report: Report) -> dict[str, Table]:
    return {
        "outcome": outcome_table(report),
        "constants": constants_table(report),
        "points": points_table(report),
        "best": results_table(report, best_only=True),
        "all": results_table(report, best_only=False),
        "shapes": shapes_table(report),
        "busy": busy_table(report),
    }


def tiles(report: Report) -> list[tuple[str, str, str]]:
    """The numbers that stand above all: label, value, what belongs to it. Those that the sweep does not have are left
    out."""
    found, law = numbers(report), (report.forecast or {}).get("law")
    made: list[tuple[str, str, str]] = []
    if forecast := found["forecast"]:
        low, high = forecast["interval"]
        made.append(("forecast loss", f"{forecast['loss']:.4f}", f"{forecast['level']:.0%}: {low:.4f} … {high:.4f}"))
    if found["held_out_loss"] is not None:
        side = "inside" if found["inside"] else "outside"
        made.append(("held-out loss", f"{found['held_out_loss']:.4f}", f"{side} the forecast's interval"))
        made.append(("forecast error", f"{found['forecast_error']:+.2%}", "of the forecast loss"))
    drift = found["lr_drift_steps"]
    if drift["transfer"] is not None:
        beside = f"without transfer {drift['standard']:.2g}" if drift["standard"] is not None else ""
        made.append(("learning-rate drift", f"{drift['transfer']:.2g} steps", beside))
    elif drift["standard"] is not None:
        made.append(("learning-rate drift", f"{drift['standard']:.2g} steps", "without transfer"))
    if law:
        made.append(
            ("best size, N ∝ C^a", f"a = {law['beta'] / (law['alpha'] + law['beta']):.2f}", "by the fitted law")
        )
    if found["busy_share"] is not None:
        made.append(("machine busy", f"{found['busy_share']:.1%}", "CPU time over wall time × cores"))
    if found["asha_step_share"] is not None:
        made.append(("steps under ASHA", f"{found['asha_step_share']:.0%}", "of the full grid's"))
    return made


def _commands(report: Report) -> list[str]:
    run, settings = shlex.quote(str(report.run.folder)), report.settings
    verify = [f"crawl2chat tune verify --run {run}"] if settings.target else []
    return [f"crawl2chat tune --run {run}", *verify, f"crawl2chat tune report --run {run}"]


def _versions(report: Report) -> list[tuple[str, Any]]:
    manifest, forecast, found = report.manifest, report.forecast or {}, report.verification or {}
    made = [("sweep, by crawl2chat", manifest.code_version), ("… took", f"{manifest.seconds:,.0f} s")]
    if forecast:
        made.append(("forecast, by crawl2chat", f"{forecast.get('code_version')}, {forecast.get('written')}"))
    if found:
        made.append(("held-out run took", f"{found['seconds']:,.0f} s, {found['steps']:,} steps"))
    states: dict[str, int] = {}
    for result in report.results:
        states[result.state] = states.get(result.state, 0) + 1
    made.append(("results", ", ".join(f"{count} {state}" for state, count in states.items())))
    return [*made, ("fingerprint", manifest.fingerprint[:16]), ("this page, by crawl2chat", __version__)]
