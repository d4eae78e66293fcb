"""What starts and what works, told apart by two runs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from crawl2chat.plan.fitted import Line, fitted, line_through
from crawl2chat.plan.run_profile import Profile
from crawl2chat.plan.timing import Timed


@pytest.mark.parametrize(
    ("less", "more", "line"),
    [
        ((10, 5.0), (40, 11.0), Line(3.0, 0.2)),
        ((10, 5.0), (12, 6.0), Line(0.0, 0.5)),  # hardly more: it says nothing
        ((10, 5.0), (40, 4.0), Line(4.0, 0.0)),  # noise: no slope below 0
        ((10, 1.0), (40, 10.0), Line(0.0, 0.25)),  # no start below 0
    ],
)
def test_a_line_through_two_points(less: tuple[float, float], more: tuple[float, float], line: Line) -> None:
    found = line_through(less, more)
    assert (found.start, found.each) == pytest.approx((line.start, line.each))
    assert found.at(more[0]) == pytest.approx(more[1]) or line.start == 0


def test_passes_of_one_piece_get_their_start_from_both_runs(profile: Profile) -> None:
    """0.94 MB took 3.0 s, 0.235 MB took 2.295 s: 1 MB a second after 2.06 seconds."""
    small = replace(
        profile,
        totals=profile.totals | {"sample bytes": 2.35e5},
        passes={"tokenizer/train": Timed(2.295, 1, 1e5, 0.0)},
        rest={"extract": 0.5},
    )
    found = fitted(small, replace(profile, passes=profile.passes | {"tokenizer/train": Timed(3.0, 1, 3e5, 0.0)}))
    assert found.passes["tokenizer/train"].rate == pytest.approx(1e6)
    assert found.passes["tokenizer/train"].start == pytest.approx(2.06)
    assert found.passes["extract/extract"] == profile.passes["extract/extract"], "the small run did not have it"
    assert found.rest == {"extract": 0.5}, "what either run took once"


def test_what_a_task_takes_however_small_is_no_rate(profile: Profile) -> None:
    """Tasks of 0.5 MB take 0.5 s, of 0.1 MB 0.2 s: 0.125 s each, and 4/3 MB a second; wiki 4/3 of 1.5."""
    totals = profile.totals | {"input bytes": 4e5}
    small = replace(profile, totals=totals, passes={"extract/extract": Timed(1.0, 4, 5e5, 0.0)})
    found = fitted(small, profile).passes["extract/extract"]
    assert found.task == pytest.approx(0.125) and found.rate == pytest.approx(4e6 / 3)
    assert found.by_source == pytest.approx({"web": 1e6, "wiki": 2e6}) and found.start == 2.0


def test_no_task_takes_less_than_those_that_do_nothing(profile: Profile) -> None:
    """By the two runs' line extract's tasks would take nothing of their own; ledgers' take 0.4 s, whatever they do."""
    quick = {"dedup/ledgers": Timed(0.8, 4, 312.5, 0.0)}
    totals = profile.totals | {"input bytes": 4e5}
    small = replace(profile, totals=totals, passes={"extract/extract": Timed(1.0, 4, 2e6, 0.0)})
    found = fitted(small, replace(profile, passes=profile.passes | quick)).passes["extract/extract"]
    assert found.task == pytest.approx(0.4) and found.rate == pytest.approx(5e5 / 0.1)
