"""Two stages at work at once: when, what they leave, and what becomes of both when one fails or all is killed."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from crawl2chat.core.errors import ContractError, RecipeError, StageError
from crawl2chat.core.files import write_text
from crawl2chat.core.late import awaited, ended
from crawl2chat.core.manifest import Manifest, file_entry
from crawl2chat.core.placement import _left_over, data_cpus
from crawl2chat.core.recipe import load_recipe
from crawl2chat.core.run import Run
from crawl2chat.core.run_events import read_run_events
from crawl2chat.core.runner import bring_up_to_date
from crawl2chat.core.settings_training import Resources
from crawl2chat.core.stage import Stage, StageContext, StageResult, plan, sections
from crawl2chat.report.keep import Keeper
from crawl2chat.report.state import read_state

PIECES = 5
PATIENCE = 60.0  # seconds in which what must happen has happened
Act = Callable[[StageContext], object]


def until(holds: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def nothing(ctx: StageContext) -> None:
    """An act."""


def data(before: Act = nothing, number: int = PIECES) -> Stage:
    """A stage of pieces, which are written unless they are there; `before` each."""

    def work(ctx: StageContext) -> StageResult:
        ctx.progress.start(number)
        for piece in range(number):
            path = ctx.folder / f"{piece}.txt"
            if not path.exists():
                before(ctx)
                write_text(path, str(piece))
            ctx.progress.advance(1)
        return StageResult([file_entry(ctx.folder, ctx.folder / f"{piece}.txt", 1) for piece in range(number)])

    return Stage("data", (), sections("shards"), work, needs_ray=False)


def training(late: Stage, at_first: Act = nothing, at_last: Act = nothing) -> Stage:
    """A stage that needs the other one's output for its end."""

    def work(ctx: StageContext) -> StageResult:
        write_text(ctx.folder / "begun.txt", "")
        at_first(ctx)
        read = [path.read_text() for path in ctx.input("data").paths(ctx.input_folder("data"))]
        at_last(ctx)
        path = ctx.folder / "read.txt"
        write_text(path, " ".join(read))
        return StageResult([file_entry(ctx.folder, path, 1)])

    return Stage("training", ("data",), sections("train"), work, needs_ray=False, late=(late,))


def make_run(storage: Path, *overrides: str) -> Run:
    return Run(load_recipe("tiny", [f"storage='{storage}'", *overrides]))


def bring(run: Run, *stages: Stage, told: list[Sequence[str]] | None = None) -> dict[str, Manifest]:
    at_work = (lambda names: None) if told is None else told.append
    return {item.stage.name: made for item, made in bring_up_to_date(stages, run, nullcontext, at_work)}


def waits_for_training(ctx: StageContext) -> None:
    until((ctx.run.stage("training") / "begun.txt").exists)


def test_the_later_stage_begins_while_the_earlier_is_at_work(tmp_path: Path) -> None:
    """The data stage writes nothing before the training has begun: one after the other they would never end."""
    run, told = make_run(tmp_path), []
    first = data(waits_for_training)
    made = bring(run, first, training(first), told=told)
    assert (run.stage("training") / "read.txt").read_text() == "0 1 2 3 4"
    assert made["training"].inputs == {"data": made["data"].digest}
    assert told == [["data", "training"], ["training"]]
    events = [(one["event"], one["stage"]) for one in read_run_events(run.folder / "logs") if "stage" in one]
    assert sorted(events[:2]) == [("stage_began", "data"), ("stage_began", "training")]
    assert events[2:] == [("stage_ended", "data"), ("stage_ended", "training")]
    assert not list(run.folder.glob("*.ended"))
    again = [(item.stage.name, item.todo) for item, _ in bring_up_to_date([first, training(first)], run, nullcontext)]
    assert again == [("data", False), ("training", False)]


def test_one_after_the_other_they_leave_the_same(tmp_path: Path) -> None:
    at_once, in_turn = make_run(tmp_path / "a"), make_run(tmp_path / "b")
    together = bring(at_once, data(waits_for_training), training(data()))
    apart = bring(in_turn, data()) | bring(in_turn, training(data()))
    for name in ("data", "training"):
        assert together[name].fingerprint == apart[name].fingerprint and together[name].digest == apart[name].digest


def test_a_stage_alone_does_not_wait_for_what_nobody_makes(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    with pytest.raises(ContractError, match="data is not up to date"):
        bring(run, training(data()))
    bring(run, data())
    with pytest.raises(ContractError, match="data is not up to date"):
        bring(make_run(tmp_path, "shards.validation_share=0.2"), training(data()))


def test_another_output_under_the_same_fingerprint_is_seen(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    bring(run, data(), training(data()))
    (run.stage("data") / "1.txt").unlink()
    assert [item.why for item in plan([data(), training(data())], run)] == ["missing or cut: 1.txt", "after data"]
    made = bring(run, data(), training(data()))  # the same bytes: nothing more to do
    assert read_run_events(run.folder / "logs")[-1]["event"] == "stage_up_to_date"
    other = data(number=PIECES + 1)
    (run.stage("data") / "1.txt").unlink()
    bring(run, other)
    [planned] = plan([training(other)], run)
    assert (planned.todo, planned.why) == (True, "changed: output of data")
    assert bring(run, training(other))["training"].digest != made["training"].digest


def test_a_data_stage_that_fails_ends_the_training_that_waits_and_both_go_on_later(tmp_path: Path) -> None:
    run, told = make_run(tmp_path), []

    def fails(ctx: StageContext) -> None:
        waits_for_training(ctx)
        if (ctx.folder / "2.txt").exists():
            raise StageError("the disk is gone", "mount it")

    with pytest.raises(StageError, match="the disk is gone") as caught:
        bring(run, data(fails), training(data()), told=told)
    assert caught.value.fix == "mount it" and told[-1] == ["data"]
    failed = {
        one["stage"]: one["error"] for one in read_run_events(run.folder / "logs") if one["event"] == "stage_failed"
    }
    assert failed == {"data": "the disk is gone", "training": "the stage data failed: the disk is gone"}
    assert not list(run.folder.glob("*.ended")) and run.manifest("data") is None and run.manifest("training") is None
    pieces: list[str] = []
    bring(run, data(lambda ctx: pieces.append(ctx.folder.name)), training(data()))
    assert len(pieces) == PIECES - 3, "what was done is kept"


def test_a_worker_that_waits_elsewhere_is_told(tmp_path: Path) -> None:
    """As training workers do: by the file system alone."""
    run, waited, found = make_run(tmp_path), threading.Event(), []

    def worker(ctx: StageContext) -> None:
        folder, mark = ctx.input_folder("data"), ctx.late["data"]

        def wait() -> None:
            try:
                awaited(folder, mark, waited.set)
            except StageError as error:
                found.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        thread.join()
        assert ended(folder) is not None
        raise found[0]

    def fails(ctx: StageContext) -> None:
        assert waited.wait(PATIENCE)
        raise ZeroDivisionError("in a unit")

    with pytest.raises(ZeroDivisionError):
        bring(run, data(fails), training(data(), worker))
    assert "the stage data failed: ZeroDivisionError: in a unit" in str(found[0])


def test_where_the_end_cannot_be_written_down_the_one_that_waits_is_interrupted(tmp_path: Path) -> None:
    """As on a disk that is full."""
    run = make_run(tmp_path)

    def fails(ctx: StageContext) -> None:
        waits_for_training(ctx)
        (run.folder / "data.ended").mkdir()
        raise StageError("no space is left")

    with pytest.raises(StageError, match="no space is left"):
        bring(run, data(fails), training(data()))
    (run.folder / "data.ended").rmdir()
    bring(run, data(), training(data()))


def test_a_training_that_fails_stops_the_data_stage_and_both_go_on_later(tmp_path: Path) -> None:
    run, told, failing = make_run(tmp_path), [], threading.Event()

    def fails(ctx: StageContext) -> None:
        until((ctx.run.stage("data") / "1.txt").exists)
        failing.set()
        raise StageError("no memory", "smaller batches")

    def slow(ctx: StageContext) -> None:
        if (ctx.folder / "1.txt").exists():
            assert failing.wait(PATIENCE)
            until(lambda: ctx.progress._stopped.is_set())

    with pytest.raises(StageError, match="no memory"):
        bring(run, data(slow), training(data(), fails), told=told)
    assert told[-1] == ["training"]
    ends = {one["stage"]: one["event"] for one in read_run_events(run.folder / "logs")}
    assert ends == {"training": "stage_failed", "data": "stage_interrupted"}
    assert sorted(path.name for path in run.stage("data").glob("?.txt")) == ["0.txt", "1.txt", "2.txt"]
    assert bring(run, data(), training(data())).keys() == {"data", "training"}


def test_a_training_that_fails_behind_the_data_leaves_these_finished(tmp_path: Path) -> None:
    run = make_run(tmp_path)

    def fails(ctx: StageContext) -> None:
        raise KeyboardInterrupt

    done = []
    with pytest.raises(KeyboardInterrupt):
        for item, _ in bring_up_to_date([data(), training(data(), at_last=fails)], run, nullcontext):
            done.append(item.stage.name)
    assert done == ["data"] and run.manifest("data") is not None
    assert bring(run, data(), training(data())).keys() == {"data", "training"}


def test_killed_while_both_are_at_work_they_go_on(tmp_path: Path) -> None:
    run, whole = make_run(tmp_path / "killed"), make_run(tmp_path / "whole")

    def stuck(ctx: StageContext) -> None:
        waits_for_training(ctx)
        if (ctx.folder / "2.txt").exists():
            write_text(ctx.run.folder / "stuck.txt", "")
            time.sleep(PATIENCE)

    child = os.fork()
    if child == 0:
        try:
            bring(run, data(stuck), training(data()))
        finally:
            os._exit(1)
    try:
        until((run.folder / "stuck.txt").exists)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    pieces: list[str] = []
    made = bring(run, data(lambda ctx: pieces.append(ctx.folder.name)), training(data()))
    expected = bring(whole, data(), training(data()))
    assert len(pieces) == 2
    assert {name: one.digest for name, one in made.items()} == {name: one.digest for name, one in expected.items()}


def test_an_old_output_is_no_answer(tmp_path: Path) -> None:
    """It stands there until the new one is whole, and whoever waits is not given it."""
    bring(make_run(tmp_path), data(), training(data()))
    run = make_run(tmp_path, "shards.validation_share=0.2")
    first = replace(data(waits_for_training), version=2)
    (run.stage("training") / "begun.txt").unlink()
    made = bring(run, first, training(first, lambda ctx: write_text(ctx.run.stage("training") / "begun.txt", "")))
    assert made["data"].version == 2 and made["training"].inputs == {"data": made["data"].digest}
    mine = run.need("data")
    assert awaited(run.stage("data"), mine.fingerprint) == mine


def test_the_page_and_the_state_name_both(tmp_path: Path) -> None:
    run, seen = make_run(tmp_path), []

    def look(ctx: StageContext) -> None:
        state = json.loads((ctx.run.folder / "state.json").read_text())
        seen.append((state["stage"], state["beside"]))

    def fails(ctx: StageContext) -> None:
        until(lambda: ctx.run.manifest("data"))
        raise StageError("no memory")

    stages = [data(waits_for_training), training(data(), look, fails)]
    with pytest.raises(StageError), Keeper(run.folder, ["data", "training"], lambda: None) as keeper:
        for item, _ in bring_up_to_date(stages, run, nullcontext, keeper.at_work):
            keeper.done(item.stage.name, item.todo)
    state = read_state(run.folder)
    assert seen == [("data", "training")]
    assert (state.state, state.stage, state.beside, state.error) == ("failed", "training", "", "no memory")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["mixture={epochs: {web: 1, wiki: 1}}"], "shards.early is given, but a mixture's order"),
        (["base=b"], "with a base nothing is pretrained"),
        (["shards.early=0"], "shards.early"),
        (["shards.early=1"], "shards.early"),
    ],
)
def test_where_no_training_can_begin_early(overrides: list[str], message: str) -> None:
    load_recipe("tiny", ["shards.early=0.2"])
    with pytest.raises(RecipeError, match=message):
        load_recipe("tiny", ["shards.early=0.2", *overrides])


def test_processors_for_both() -> None:
    def holds(nodes: list[dict[str, float]], **resources: object) -> bool:
        return _left_over(nodes, Resources.model_validate(resources))

    assert not holds([{"CPU": 2}], train_workers=2) and holds([{"CPU": 3}], train_workers=2)
    assert not holds([{"CPU": 2}], train_workers=1, cpus_per_worker=1.5), "half a CPU runs no task"
    assert not holds([{"CPU": 2}, {"CPU": 2}], train_workers=2, cpus_per_worker=1.5), "half a CPU on each"
    assert holds([{"CPU": 2}, {"CPU": 2}, {"CPU": 1}], train_workers=2, cpus_per_worker=1.5)
    marked = {"train_workers": 8, "data_resource": "data", "train_resource": "train"}
    assert holds([{"CPU": 8, "train": 1}, {"CPU": 1, "data": 1}], **marked)
    assert not holds([{"CPU": 16, "train": 1}, {"data": 1}], **marked), "a node without a CPU works on no data"
    assert not holds([{"CPU": 8, "train": 1, "data": 1}], **marked)
    gpus = {"train_workers": 4, "gpus_per_worker": 1}
    assert holds([{"CPU": 4, "GPU": 2}, {"CPU": 4, "GPU": 2}], **gpus), "two GPUs take no four CPUs"
    assert data_cpus() is None, "no training is beside"
