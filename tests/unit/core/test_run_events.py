"""The events of a run: what stages and commands tell, and what a kill, a full disk or odd values leave of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from crawl2chat.core import progress as progress_module
from crawl2chat.core.errors import InputError, StageError
from crawl2chat.core.log import log
from crawl2chat.core.progress import Progress
from crawl2chat.core.recipe import load_recipe
from crawl2chat.core.run import Run
from crawl2chat.core.run_events import FILE_NAME, RunEvents, read_run_events
from crawl2chat.core.runner import bring_up_to_date
from crawl2chat.core.stage import Stage, StageContext, StageResult, sections

COUNTERS = {"documents_in": 9, "documents": 4, "dropped": 5, "dropped.gopher.words": 3, "dropped.language": 2}


def work(ctx: StageContext) -> StageResult:
    if ctx.recipe.seed == 666:
        raise InputError("https://jane:secret@host/x is bad", f"give another than {os.environ.get('A_TOKEN')}")
    ctx.progress.tell("checkpoint", step=5)
    return StageResult([], {**COUNTERS})


STAGE = Stage("extract", (), sections("seed"), work)


def make_run(storage: Path, *overrides: str) -> Run:
    return Run(load_recipe("tiny", [f"storage='{storage}'", *overrides]))


def told(run: Run) -> list[dict[str, Any]]:
    return read_run_events(run.folder / "logs")


def bare(event: dict[str, Any]) -> dict[str, Any]:
    """Without what differs from run to run."""
    return {key: value for key, value in event.items() if key not in ("time", "run", "seconds", "host", "version")}


def test_a_stage_tells_its_beginning_its_end_and_that_nothing_was_to_do(tmp_path: Path) -> None:
    run, before = make_run(tmp_path), datetime.now(UTC)
    for _ in range(2):
        list(bring_up_to_date([STAGE], run, nullcontext))
    found = told(run)
    assert [bare(event) for event in found] == [
        {"event": "stage_began", "stage": "extract", "why": "never ran"},
        {"event": "checkpoint", "stage": "extract", "step": 5},
        {
            "event": "stage_ended",
            "stage": "extract",
            "counters": {"documents_in": 9, "documents": 4, "dropped": 5},
            "dropped": {"gopher.words": 3, "language": 2},
        },
        {"event": "stage_up_to_date", "stage": "extract"},
    ]
    assert found[2]["seconds"] == run.need("extract").seconds
    assert {event["run"] for event in found} == {"tiny"}
    times = [datetime.fromisoformat(event["time"]) for event in found]
    assert times == sorted(times) and all(one.utcoffset() == timedelta(0) for one in times)
    assert before - timedelta(seconds=1) < times[0] and times[-1] < datetime.now(UTC) + timedelta(seconds=1)


def test_a_stage_and_a_command_that_fail_say_why_without_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_TOKEN", "planted-in-the-environment")
    run = make_run(tmp_path, "seed=666")
    with pytest.raises(InputError), run.events.of_command(["extract"]):
        list(bring_up_to_date([STAGE], run, nullcontext))
    why = {"error": "https://***@host/x is bad", "fix": "give another than ***"}
    assert [bare(event) for event in told(run)] == [
        {"event": "run_began", "stages": ["extract"], "process": os.getpid()},
        {"event": "stage_began", "stage": "extract", "why": "never ran"},
        {"event": "stage_failed", "stage": "extract", **why},
        {"event": "run_ended", "state": "failed", **why},
    ]


@pytest.mark.parametrize(
    ("error", "state"), [(KeyboardInterrupt(), "interrupted"), (StageError("no", "yes"), "failed"), (None, "finished")]
)
def test_how_a_command_ended(tmp_path: Path, error: BaseException | None, state: str) -> None:
    events = RunEvents(tmp_path, "r")
    with pytest.raises(type(error)) if error else nullcontext(), events.of_command([]):
        if error:
            raise error
    assert read_run_events(tmp_path)[-1]["state"] == state


WRITER = """
import sys
from pathlib import Path
from crawl2chat.core.run_events import RunEvents
events = RunEvents(Path(sys.argv[1]), "r")
for number in range(10**9):
    events.add("progress", number=number, text="x" * (number % 5000))
"""


def test_a_kill_tears_no_more_than_the_last_line(tmp_path: Path) -> None:
    for number in range(1, 4):
        before = len(read_run_events(tmp_path))
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)])
        deadline = time.monotonic() + 60
        while len(read_run_events(tmp_path)) < before + 200:
            assert writer.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        found = read_run_events(tmp_path)
        assert [event["number"] for event in found[before:]] == list(range(len(found) - before))
        lines = (tmp_path / FILE_NAME).read_bytes().split(b"\n")
        assert len(lines) - 1 - len(found) <= number, "each kill tore one line at most"


def test_what_is_told_behind_a_torn_line_is_whole(tmp_path: Path) -> None:
    events = RunEvents(tmp_path, "r")
    events.add("first")
    with events.path.open("a") as file:
        file.write('{"time": "2026-01-01T00:')
    events.add("second")
    events.add("third")
    assert [event["event"] for event in read_run_events(tmp_path)] == ["first", "second", "third"]
    assert len(events.path.read_text().splitlines()) == 4


def test_values_that_json_does_not_know_are_text(tmp_path: Path) -> None:
    events = RunEvents(tmp_path, "r")
    events.add("odd", loss=float("nan"), nested={"a": [float("inf"), 1.5]}, name="\udcff.warc\u2028ü")
    [found] = read_run_events(tmp_path)
    assert (found["loss"], found["nested"]) == ("nan", {"a": ["inf", 1.5]})
    assert found["name"] == "\udcff.warc\u2028ü"
    json.loads(events.path.read_text(), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    before, log.propagate = log.propagate, True
    yield caplog
    log.propagate = before


def test_events_that_cannot_be_written_cost_a_warning_and_no_run(
    tmp_path: Path, warnings: pytest.LogCaptureFixture
) -> None:
    run = make_run(tmp_path)
    run.folder.mkdir(parents=True)
    (run.folder / "logs").write_text("a file where the folder should be")
    list(bring_up_to_date([STAGE], run, nullcontext))
    assert run.need("extract").counters == COUNTERS
    said = [one.getMessage() for one in warnings.records if one.levelname == "WARNING"]
    assert len(said) == 1 and "no event in" in said[0]


def test_progress_is_told_at_an_interval_and_not_by_unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now[0])
    events = RunEvents(tmp_path, "r")
    progress = Progress("extract", events)
    progress.start(100, done=20, counting="documents")
    for number in range(70):
        now[0] += 1
        progress.advance(1, 10, note=f"at {number}")
    assert [bare(event) for event in read_run_events(tmp_path)] == [
        {
            **{"event": "progress", "stage": "extract", "done": done, "total": 100, "counting": "documents"},
            **{"amount": amount, "per_second": 10.0, "seconds_left": 100.0 - done, "note": note},
        }
        for done, amount, note in ((51, 310.0, "at 30"), (82, 620.0, "at 61"))
    ]
