"""The report's figures: minima and budgets that they mark, images that are not blank, colours of both schemes."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crawl2chat.core.run import Run
from crawl2chat.tune.colours import COLOURS
from crawl2chat.tune.figures import Figure, Panel, log_axis, row_colours, scientific
from crawl2chat.tune.figures_asha import asha_figure
from crawl2chat.tune.figures_laws import fit_figure, isoflop_figure
from crawl2chat.tune.figures_search import curves_figure, valleys_figure, valleys_of
from crawl2chat.tune.lessons import drift
from crawl2chat.tune.report import Report, read_report
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.image import imread

FIGURES = [fit_figure, valleys_figure, curves_figure, isoflop_figure, asha_figure]


@pytest.fixture
def sweep(sweep_files: Callable[..., Any]) -> Report:
    return read_report(Run.open(sweep_files().write(equal_compute=True)))


def drawn(panel: Panel) -> Axes:
    axes = Canvas().add_subplot()
    panel.draw(axes)
    return axes


def rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.__name__)
def test_images_show_something(sweep: Report, tmp_path: Path, figure: Callable[[Report], Figure]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a layout that does not fit
        found = figure(sweep)
        pixels = imread(found.save(tmp_path))[..., :3]
    assert pixels.shape[1] > 600 and pixels.shape[0] > 450
    surface = np.abs(pixels - rgb(COLOURS["surface"][0])).max(axis=-1) < 0.01
    assert 0.5 < surface.mean() < 0.99, "paper, with something on it"
    halves = np.array_split(~surface, max(1, min(3, len(found.panels))), axis=1)
    assert all(half.mean() > 0.01 for half in halves), "in each panel"
    assert pixels.std() > 0.05
    assert [path.name for path in tmp_path.glob("*.png")] == [f"{found.name}.png"]


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.__name__)
def test_drawings_for_the_page_have_no_colours_of_their_own(sweep: Report, figure: Callable[[Report], Figure]) -> None:
    for svg in figure(sweep).svgs():
        assert re.findall(r"#[0-9a-f]{6}\b", svg) == []
        assert set(re.findall(r"var\(--(\w+)\)", svg)) <= set(COLOURS)
        assert "http" not in svg and "<text" in svg and "DejaVu" not in svg


def test_colours_are_told_from_the_surface_in_both_schemes() -> None:
    """Contrast by WCAG 2: 3 for marks, 4.5 for text. Light ones differ, for drawings are translated from them."""

    def light(colour: str) -> float:
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in rgb(colour)]
        return float(np.dot([0.2126, 0.7152, 0.0722], linear)) + 0.05

    assert len({one for one, _ in COLOURS.values()}) == len(COLOURS)
    for scheme in (0, 1):
        surface = light(COLOURS["surface"][scheme])
        for name, pair in COLOURS.items():
            least = {"surface": 1, "line": 1, "ink": 4.5, "soft": 4.5}.get(name, 3)
            low, high = sorted((surface, light(pair[scheme])))
            assert high / low >= least, name


def test_valleys_find_the_minima_that_the_sweep_has(sweep: Report) -> None:
    """Losses were made with the best rate at 2^-6 under transfer, without it a factor 2^1.3 lower with each row."""
    minima: dict[bool, list[float]] = {}
    for transfer in (True, False):
        found = valleys_of(sweep.results, transfer)
        assert list(found) == ["50k", "100k", "250k"]
        minima[transfer] = [np.log2(one.valley.best) for one in found.values() if one.valley is not None]
    assert minima[True] == pytest.approx([-6] * 3, abs=0.4)
    assert minima[False] == pytest.approx([-4.4, -5.7, -7.0], abs=0.4)
    steps, _ = drift([one for one in sweep.results if one.phase == "search"])
    moved = {"transfer": minima[True][-1] - minima[True][0], "standard": minima[False][-1] - minima[False][0]}
    assert steps == pytest.approx(moved), "what the sweep says of its drift is what the figure shows"
    widest = valleys_of(sweep.results, False)["250k"]
    assert np.isnan(widest.losses[widest.rates.index(0.25)]), "diverged"


def test_a_valley_has_the_search_s_longest_lengths(sweep: Report) -> None:
    """A shorter length, another phase, the other kind, and what was not started have no place in it."""
    before = valleys_of(sweep.results, True)
    low = sweep.results[0].model_copy(update={"validation_loss": 0.1})
    changes = ({"state": "not started"}, {"phase": "grid"}, {"phase": "ladder"}, {"transfer": False}, {"tokens": 1000})
    sweep.results += [low.model_copy(update=change) for change in changes]
    assert valleys_of(sweep.results, True) == before
    sweep.results.append(low.model_copy(update={"state": "stopped", "tokens": 1000}))
    assert valleys_of(sweep.results, True)["50k"].stopped == [True] + [False] * 7


def test_both_valleys_have_the_same_axes(sweep: Report) -> None:
    found = valleys_figure(sweep)
    assert [panel.title for panel in found.panels] == [
        "with transfer: drift 0.4 grid steps of ×2",
        "without transfer: drift 2.6 grid steps of ×2",
    ]
    one, other = map(drawn, found.panels)
    assert one.get_xlim() == other.get_xlim() and one.get_ylim() == other.get_ylim()
    assert one.get_xlim()[0] < 2**-9 and one.get_xlim()[1] > 0.25


def test_the_forecast_and_the_held_out_run_lie_in_the_figure(sweep: Report) -> None:
    assert sweep.forecast is not None and sweep.verification is not None
    axes = drawn(fit_figure(sweep).panels[0])
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    assert left < sweep.forecast["target"]["flops"] < right
    for loss in (*sweep.forecast["interval"], sweep.verification["loss"]):
        assert bottom < loss < top
    star = next(line for line in axes.get_lines() if line.get_label() == "held-out run")
    assert star.get_ydata()[0] == sweep.verification["loss"]  # type: ignore[index]
    law = next(line for line in axes.get_lines() if line.get_label() == "law")
    assert len(law.get_xdata()) == 40  # type: ignore[arg-type]


def test_isoflop_rings_are_the_minima_inside(sweep: Report) -> None:
    axes = drawn(isoflop_figure(sweep).panels[0])
    rings = [line for line in axes.get_lines() if line.get_markerfacecolor() == "none"]
    assert 2 <= len(rings) <= 4
    best = [float(ring.get_xdata()[0]) for ring in rings]  # type: ignore[index]
    assert best == sorted(best), "the best size grows with the compute"
    assert all(100_144 < size < 600_000 for size in best)


def test_a_ladder_s_run_is_drawn_once_with_all_its_ends(sweep: Report) -> None:
    figure = curves_figure(sweep)
    assert [panel.title for panel in figure.panels] == ["50k", "100k", "250k", "500k"]
    lines = drawn(figure.panels[-1]).get_lines()
    assert [len(line.get_xdata()) for line in lines] == [20, 4]  # type: ignore[arg-type]


def test_numbers_on_axes() -> None:
    assert [scientific(value) for value in (3e15, 1.25e-3, 1e5, 12_000, 3.456e21)] == [
        "3e15", "0.00125", "1e5", "12000", "3.46e21",
    ]  # fmt: skip
    axes = Canvas().add_subplot()
    log_axis(axes, "x", 0.002, 0.25, lambda value: f"{value:g}")
    low, high = axes.get_xlim()
    labels = [text.get_text() for text in axes.get_xticklabels() if low <= text.get_position()[0] <= high]
    assert labels == ["0.002", "0.005", "0.01", "0.02", "0.05", "0.1", "0.2"]


def test_rows_take_the_ramp_from_end_to_end() -> None:
    colours = list(row_colours(["a", "b", "c"]).values())
    assert colours[0] == COLOURS["row1"][0] and colours[-1] == COLOURS["row6"][0] and len(set(colours)) == 3
    assert row_colours(["a"]) == {"a": COLOURS["row1"][0]}
