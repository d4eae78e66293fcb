"""Drawings: axes, labels that do not meet, lines that keep their spikes."""

from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from crawl2chat.report.annotations import Event
from crawl2chat.report.columns import columns, interval
from crawl2chat.report.lines import NARROW, SMALL, WIDE, Chart, Series, Size, draw
from crawl2chat.report.scales import Scale, below, even_ticks, inner_top, log_ticks, thin, trend
from crawl2chat.report.svg import element, spread
from crawl2chat.report.words import duration, number, share, size
from markupsafe import Markup

LOSS = [(float(step), 2 + 100 / step) for step in range(10, 1001, 10)]


def drawn(svg: Markup) -> ElementTree.Element:
    return ElementTree.fromstring(str(svg))


def texts(svg: Markup) -> list[str]:
    return [one.text or "" for one in drawn(svg).iter("text")]


def test_what_is_not_ours_is_escaped() -> None:
    made = element("text", "<b>&", element("title", 'x"'), class_='a"b', x=1.26)
    assert made == '<text class="a&#34;b" x="1.3">&lt;b&gt;&amp;<title>x&#34;</title></text>'


@pytest.mark.parametrize(
    ("low", "high", "most", "ticks"),
    [
        (0, 10, 5, [0, 2, 4, 6, 8, 10]),
        (2.1, 2.4, 4, [2.1, 2.2, 2.3, 2.4]),
        (0, 0.03, 3, [0, 0.01, 0.02, 0.03]),
        (3, 3, 4, [3]),
    ],
)
def test_even_ticks_are_round(low: float, high: float, most: int, ticks: list[float]) -> None:
    assert even_ticks(low, high, most) == pytest.approx(ticks)


def test_ticks_of_logarithms_thin_out_with_the_range() -> None:
    assert log_ticks(10, 100, 6) == pytest.approx([10, 20, 50, 100])
    assert log_ticks(1, 1e4, 9) == pytest.approx([1, 3, 10, 30, 100, 300, 1000, 3000, 10000])
    assert len(log_ticks(1e-3, 1e9, 5)) <= 5


def test_scales_put_values_between_their_ends() -> None:
    even, log = Scale(0, 10, 100, 200), Scale(1, 100, 100, 200, log=True)
    assert (even(0), even(5), even(10)) == (100, 150, 200)
    assert (log(1), log(10), log(100)) == pytest.approx((100, 150, 200))
    assert Scale(3, 3, 0, 10)(3) == 5


def test_thinned_lines_keep_a_spike() -> None:
    points = [(float(at), 1.0) for at in range(10_000)]
    points[4321] = (4321.0, 9.0)
    kept = thin(points, 200)
    assert len(kept) <= 210 and (4321.0, 9.0) in kept
    assert kept[0] == points[0] and kept[-1] == points[-1] and kept == sorted(kept)


def test_a_trend_goes_through_the_noise() -> None:
    points = [(float(at), 1.0 + (at % 2) * 0.1 + (at > 5000)) for at in range(1, 10_001)]
    points[7000] = (7001.0, 99.0)
    found = trend(points, 100)
    assert len(found) == 100 and {y for x, y in found if abs(x - 5000) > 100} <= {1.05, 1.0, 1.1, 2.05, 2.0, 2.1}


def test_the_start_of_training_does_not_press_the_rest_to_the_ground() -> None:
    falling = [(float(step), 3 + 8 * 0.99**step) for step in range(0, 10_001, 10)]
    top = inner_top(falling)
    assert 3 < top < 4 and max(y for _, y in falling) == 11
    assert inner_top(falling[:40]) == float("inf"), "few points are shown whole"
    assert inner_top([(float(at), 1 + at % 7) for at in range(1000)]) == float("inf")
    svg = draw(Chart("Loss", "step", "loss", [Series("", falling)], crop=True), WIDE)
    assert "↑ 11" in texts(svg)
    heights = [float(y) for one in drawn(svg).iter("polyline") for y in re.findall(r",(\S+)", one.get("points", ""))]
    assert min(heights) >= 22 and max(heights) <= 304, "nothing is drawn outside the axes"


def test_a_line_is_cut_where_it_leaves_the_chart() -> None:
    points = [(0.0, 4.0), (1.0, 2.0), (2.0, 1.0), (3.0, 5.0), (4.0, 1.0)]
    assert below(points, 3.0) == [[(0.5, 3.0), (1.0, 2.0), (2.0, 1.0), (2.5, 3.0)], [(3.5, 3.0), (4.0, 1.0)]]
    assert below(points, 9.0) == [points] and below(points, 0.0) == []


def test_a_level_far_away_stands_at_the_edge_without_a_line() -> None:
    levels = [(3.0, "gzip"), (99.0, "unigram"), (-9.0, "far")]
    svg = draw(Chart("B", "step", "bits", [Series("", LOSS)], levels=levels), WIDE)
    assert {"3 gzip", "↑ 99 unigram", "↓ -9 far"} <= set(texts(svg)), "what is beyond the chart says so"
    assert len([one for one in drawn(svg).iter("line") if one.get("class") == "level"]) == 1


def test_labels_are_moved_apart_and_stay_inside() -> None:
    found = spread([50, 52, 51, 118], 14, 10, 120)
    ordered = sorted(found)
    assert all(b - a >= 14 - 1e-9 for a, b in pairwise(ordered)) and max(ordered) <= 120
    assert found[0] < found[2] < found[1], "in the order of their values"
    assert spread([], 14, 0, 10) == []


@pytest.mark.parametrize("form", [WIDE, NARROW, SMALL])
def test_a_chart_has_axes_with_units_and_labels_at_its_lines(form: Size) -> None:
    series = [Series("trained on", LOSS), Series("held out", [(500.0, 2.4), (1000.0, 2.2)], "standard", dots=True)]
    svg = draw(Chart("Loss", "step", "loss, nats a token", series, levels=[(3.0, "gzip")]), form)
    said = texts(svg)
    assert "loss, nats a token" in said and "step" in said and "1,000" in said
    assert [one for one in said if one.startswith("2.1 ")] and [one for one in said if one.startswith("2.2 h")]
    places = [
        (float(one.get("x", 0)), float(one.get("y", 0)))
        for one in drawn(svg).iter("text")
        if "label" in (one.get("class") or "")
    ]
    assert len(places) == 3 and len({x for x, _ in places}) == 1
    ys = sorted(y for _, y in places)
    assert all(b - a >= 13.9 for a, b in pairwise(ys))
    assert all(0 <= y <= form.height for y in ys)


def test_the_script_can_read_values_back() -> None:
    svg = draw(Chart("Loss", "step", "loss", [Series("", LOSS)]), WIDE)
    root = drawn(svg)
    x_low, x_high, x_begin, x_end, x_log, y_low, y_high, y_begin, y_end, _ = map(
        float, root.get("data-scales", "").split(",")
    )
    [line] = root.iter("polyline")
    x, y = map(float, line.get("points", "").split()[-1].split(","))
    assert x_log == 0
    assert x_low + (x - x_begin) / (x_end - x_begin) * (x_high - x_low) == pytest.approx(1000, rel=0.01)
    assert y_low + (y - y_begin) / (y_end - y_begin) * (y_high - y_low) == pytest.approx(2.1, rel=0.01)


def test_by_logarithms_the_first_half_has_the_early_steps() -> None:
    def middle(x_log: bool) -> float:
        [line] = drawn(draw(Chart("L", "step", "loss", [Series("", LOSS)]), WIDE, x_log)).iter("polyline")
        xs = [float(pair.split(",")[0]) for pair in line.get("points", "").split()]
        return (xs[9] - xs[0]) / (xs[-1] - xs[0])  # of step 100

    assert middle(False) == pytest.approx(90 / 990, abs=0.01) and middle(True) == pytest.approx(0.5, abs=0.01)


def test_events_have_words_that_do_not_meet() -> None:
    events = [Event(float(step), f"went on from {step}", "law") for step in (100, 110, 120, 900)]
    svg = draw(
        Chart("L", "step", "loss", [Series("", LOSS)], [*events, Event(500.0, "", point=True, title="saved")]), WIDE
    )
    notes = [one for one in drawn(svg).iter("text") if "note" in (one.get("class") or "")]
    assert [one.text for one in notes] == [event.words for event in events]
    assert len({one.get("y") for one in notes[:3]}) == 3, "a row each"
    assert str(svg).count("<polygon") == 1 and "saved" in str(svg)
    assert len(re.findall(r'class="event', str(svg))) == 4


def test_nothing_to_draw_is_drawn_too() -> None:
    for series in ([], [Series("a", [])], [Series("a", [(0.0, 1.0)])]):
        assert drawn(draw(Chart("L", "step", "loss", series), WIDE, x_log=False)).tag == "svg"
    assert drawn(
        draw(Chart("L", "step", "loss", [Series("a", [(0.0, 1.0), (1.0, 0.0)])], y_log=True), WIDE, x_log=True)
    )


def test_columns_stand_on_zero_with_their_numbers() -> None:
    root = drawn(columns("Sizes", "members", "clusters", [("2", 100), ("3", 25), ("4", 0)], 480))
    heights = [float(one.get("height", 0)) for one in root.iter("rect")]
    assert heights[0] == pytest.approx(4 * heights[1], abs=0.3) and heights[2] == 0
    assert {"100", "25"} <= {one.text for one in root.iter("text")}


def test_an_interval_lies_where_its_numbers_say() -> None:
    root = drawn(interval(0.5, 0.4, 0.6, 0.25))
    [dot] = root.iter("circle")
    [bar] = root.iter("rect")
    lines = {one.get("class"): float(one.get("x1", 0)) for one in root.iter("line")}
    assert float(dot.get("cx", 0)) == 110 and lines["chance"] == 58
    assert (float(bar.get("x", 0)), float(bar.get("width", 0))) == pytest.approx((89.2, 41.6))
    assert "95 % interval 40.0 to 60.0, chance 25.0" in (root.get("aria-label") or "")


def test_numbers_are_written_for_people() -> None:
    assert [share(one) for one in (0.123, 0, 0.0001, 0.9999, 1)] == [
        "12.3 %",
        "0.0 %",
        "< 0.1 %",
        "> 99.9 %",
        "100.0 %",
    ]
    assert [number(one) for one in (0.5, 1234.6, 3.2e9, 1e-5)] == ["0.5", "1,235", "3.2e9", "1e-05"]
    assert [size(one) for one in (999, 2048, 3.2e9)] == ["999 B", "2.05 kB", "3.2 GB"]
    assert [duration(one) for one in (4.21, 59.99, 200, 7200, 90_000)] == [
        "4.2 s",
        "60 s",
        "3 min 20 s",
        "2 h",
        "1 d 1 h",
    ]
