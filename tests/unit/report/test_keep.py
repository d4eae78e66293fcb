"""The page while a run goes on: when it is written, what it says of the end, and that it never ends a run."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from crawl2chat.core.errors import StageError
from crawl2chat.core.lock import hold
from crawl2chat.core.log import log
from crawl2chat.report.keep import Keeper
from crawl2chat.report.state import read_state


class Heard:
    """Stands for the page: remembers in which states it was written, as another process would read them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.states: list[tuple[str, str]] = []
        self._changed = threading.Condition()

    def __call__(self) -> None:
        found = read_state(self.folder)
        with self._changed:
            self.states.append((found.state, found.stage))
            self._changed.notify_all()

    def wait(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.states) >= count, 20), self.states


@pytest.fixture(autouse=True)
def held(tmp_path: Path) -> Iterator[None]:
    """As every command holds its run."""
    with hold(tmp_path):
        yield


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    before, log.propagate = log.propagate, True
    yield caplog
    log.propagate = before


def told(warnings: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in warnings.records if one.levelname == "WARNING"]


def test_it_is_written_at_the_start_after_each_stage_that_ran_and_at_the_end(tmp_path: Path) -> None:
    heard = Heard(tmp_path)
    with Keeper(tmp_path, ["crawl", "extract", "dedup"], heard, every=1000) as keeper:
        heard.wait(1)
        keeper.done("crawl", ran=False)
        assert len(heard.states) == 1
        keeper.done("extract", ran=True)
        heard.wait(2)
        keeper.done("dedup", ran=True)
        heard.wait(3)
    assert heard.states == [("running", "crawl"), ("running", "dedup"), ("running", ""), ("finished", "")]


def test_it_is_written_now_and_then_in_between_and_no_more_behind_the_end(tmp_path: Path) -> None:
    heard = Heard(tmp_path)
    with Keeper(tmp_path, ["pretrain"], heard, every=0.01):
        heard.wait(3)
    assert not any(thread.name == "report" for thread in threading.enumerate())
    assert heard.states[-1] == ("finished", "") and set(heard.states[:-1]) == {("running", "pretrain")}


@pytest.mark.parametrize(
    ("error", "state", "said", "fix"),
    [
        (StageError("the disk is full", "free some"), "failed", "the disk is full", "free some"),
        (ValueError("odd"), "failed", "ValueError: odd", ""),
        (KeyboardInterrupt(), "interrupted", "", ""),
    ],
)
def test_an_error_passes_through_and_stands_on_the_page(
    tmp_path: Path, error: BaseException, state: str, said: str, fix: str
) -> None:
    heard = Heard(tmp_path)
    with pytest.raises(type(error)), Keeper(tmp_path, ["extract", "dedup"], heard, every=1000) as keeper:
        keeper.done("extract", ran=True)
        raise error
    assert heard.states[-1] == (state, "dedup")
    found = json.loads((tmp_path / "state.json").read_text())
    assert (found["error"], found["fix"]) == (said, fix)


def test_a_page_that_cannot_be_written_is_one_warning(tmp_path: Path, warnings: pytest.LogCaptureFixture) -> None:
    calls = []

    def fail() -> None:
        calls.append(1)
        raise RuntimeError("no template")

    with Keeper(tmp_path, ["extract", "dedup"], fail, every=0.01):
        while len(calls) < 4:
            pass
    assert told(warnings) == [f"no report in {tmp_path}: RuntimeError: no template"]


def test_a_failure_that_passes_is_none(tmp_path: Path, warnings: pytest.LogCaptureFixture) -> None:
    heard = Heard(tmp_path)
    fails = [True]

    def write() -> None:
        if fails.pop() if fails else False:
            raise FileNotFoundError("moved away")
        heard()

    with Keeper(tmp_path, ["extract"], write, every=0.01):
        heard.wait(1)
    assert told(warnings) == [] and heard.states[-1] == ("finished", "")


def test_nor_does_a_folder_that_is_gone_end_the_run(tmp_path: Path, warnings: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "file"
    folder.write_text("no folder")
    done = False
    with Keeper(folder, ["extract"], lambda: None, every=1000):
        done = True
    assert done and len(told(warnings)) == 1
