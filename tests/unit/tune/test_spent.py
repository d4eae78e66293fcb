"""What a sweep has used up, over drivers that were killed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from crawl2chat.tune.spent import REPORTS, SessionFile, busy, has_ended, reports, session_seconds, starts, write_report
from crawl2chat.tune.watching import Allowance, Session


def report(began: float, now: float, cpu: float, tokens: int) -> dict[str, Any]:
    return {"began": began, "now": now, "own_cpu_seconds": cpu, "own_tokens": tokens, "own_steps": tokens // 100}


@pytest.fixture
def stage(tmp_path: Path) -> Path:
    trials = {
        "search-ab/one": [report(100, 105, 4, 500), report(100, 110, 9, 1000)],
        "search-ab/two": [report(100, 108, 7, 800), report(130, 135, 5, 400)],  # started again after a kill
        "ladder-cd/one": [report(140, 150, 10, 2000)],
        "ladder-cd/beside": [report(141, 142, 1, 90)],  # of the phase grid
    }
    for name, told in trials.items():
        path = tmp_path / "ray" / name / REPORTS
        phase = "grid" if path.parent.name == "beside" else name.split("-")[0]
        for one in told:
            write_report(path.parent, one | {"config": {"trial": {"phase": phase}}})
    with (tmp_path / "ray" / "search-ab" / "two" / REPORTS).open("a") as out:
        out.write('{"began": 130, "now": 14')  # cut by the kill
    return tmp_path


def test_each_start_counts_with_its_last_report(stage: Path) -> None:
    found = list(starts(stage))
    assert [(one.phase, one.trial, one.began, one.ended, one.tokens) for one in found] == [
        ("grid", "beside", 141, 142, 90),
        ("ladder", "one", 140, 150, 2000),
        ("search", "one", 100, 110, 1000),
        ("search", "two", 100, 108, 800),
        ("search", "two", 130, 135, 400),
    ]
    two = stage / "ray" / "search-ab" / "two"
    assert len(reports(two)) == 2
    write_report(two, report(150, 155, 2, 100) | {"config": {"trial": {"phase": "search"}}})
    assert [one["began"] for one in reports(two)] == [100, 130, 150], "nothing is written on in the cut line"
    assert two.joinpath(REPORTS).read_text().count("\n") == 4
    (two / REPORTS).write_text("".join((two / REPORTS).read_text().splitlines(keepends=True)[:2]))
    by_phase = {one.phase: one for one in busy(found, cores=2)}
    search = by_phase["search"]
    assert (search.trials, search.steps, search.cpu_seconds) == (2, 22, 9 + 7 + 5)
    assert search.wall_seconds == 10 + 5, "while one of them ran: not the gap that the kill left"
    assert search.share == pytest.approx(21 / 30)


def test_seconds_of_a_killed_driver_stay(tmp_path: Path) -> None:
    first = SessionFile(tmp_path, 100.0)
    for now in (100.5, 103.0, 103.5, 108.0):
        first.heard(now)
    SessionFile(tmp_path, 200.0).heard(202.0)
    assert session_seconds(tmp_path) == pytest.approx(8.0 + 2.0)
    assert session_seconds(tmp_path / "none") == 0


def test_a_budget_of_tokens_counts_what_was_trained_and_not_what_a_checkpoint_brought(tmp_path: Path) -> None:
    session = Session(lambda name, told, ended: None, Allowance(tokens=1000), tmp_path)
    session.hear("one", report(1, 2, 1, 400))
    session.hear("one", report(1, 3, 2, 700))
    assert not session.used_up
    session.hear("one", report(4, 5, 1, 200))  # went on from a checkpoint: 200 more
    assert not session.used_up
    session.hear("two", report(4, 5, 1, 100))
    assert session.used_up


def test_an_end_is_the_last_length_or_a_reason_or_a_scheduler_s_stop(tmp_path: Path) -> None:
    def told(lengths: int, **more: Any) -> Path:
        one = report(1, 2, 1, 100) | {"lengths": json.dumps([{}] * lengths), "state": "ok", "done": False} | more
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        write_report(folder, one | {"config": {"trial": {"phase": "search"}}})
        return folder

    assert not has_ended(tmp_path / "none", 2)
    assert not has_ended(told(1), 2) and has_ended(told(2), 2)
    assert has_ended(told(0, state="diverged"), 2)
    assert has_ended(told(0, done=True), 2) and not has_ended(told(0, done=True), 2, stopped=False)


def test_a_budget_that_is_spent_leaves_nothing(tmp_path: Path) -> None:
    assert Session(lambda name, told, ended: None, Allowance(seconds=-1.0), tmp_path).used_up


def test_a_budget_of_time_counts_from_the_first_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session(lambda name, told, ended: None, Allowance(seconds=60), tmp_path)
    monkeypatch.setattr("time.time", lambda: 1000.0)
    assert not session.used_up, "nothing has begun"
    session.hear("one", report(950, 1000, 1, 1))
    assert not session.used_up
    monkeypatch.setattr("time.time", lambda: 1010.0)
    assert session.used_up
