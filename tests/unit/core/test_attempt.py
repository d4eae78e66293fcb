"""A finished output stays until the next one is whole: refused, failed, or killed before any change on the disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest
from crawl2chat.core.errors import ContractError
from crawl2chat.core.files import write_text
from crawl2chat.core.manifest import file_entry
from crawl2chat.core.recipe import load_recipe
from crawl2chat.core.run import Run
from crawl2chat.core.runner import bring_up_to_date
from crawl2chat.core.stage import Stage, StageContext, StageResult, plan, sections, taken_back

CHANGES = ("rename", "replace", "mkdir", "unlink", "rmdir")
NEW = ("train.steps=7",)


def make_run(storage: Path, *overrides: str) -> Run:
    return Run(load_recipe("tiny", [f"storage='{storage}'", *overrides]))


def two_files(ctx: StageContext) -> StageResult:
    """Two files of one content: the number of steps."""
    text = str(ctx.recipe.train.steps)
    for name in ("a", "b"):
        write_text(ctx.folder / "deep" / f"{name}.txt", text)
    return StageResult([file_entry(ctx.folder, ctx.folder / "deep" / f"{name}.txt", 1) for name in ("a", "b")])


def refused(ctx: StageContext) -> StageResult:
    """Fails late, like a gate; an attempt that goes on finds what the one before left."""
    piece = ctx.folder / "piece.txt"
    write_text(piece, piece.read_text() + "again" if piece.exists() else "once")
    raise ContractError("this does not fit", "change it")


STAGE = Stage("made", (), sections("train"), two_files)


def execute(run: Run, stage: Stage = STAGE) -> None:
    list(bring_up_to_date([stage], run, nullcontext))


def content(run: Run) -> set[str]:
    """What the files of the finished output hold; nothing when there is no output."""
    manifest = run.manifest("made")
    return {path.read_text() for path in manifest.paths(run.stage("made"))} if manifest else set()


def beside(run: Run) -> list[str]:
    return sorted(path.name for path in run.folder.iterdir() if path.name != "logs")


def test_an_attempt_that_fails_costs_no_finished_output_and_goes_on(tmp_path: Path) -> None:
    before, changed = make_run(tmp_path), make_run(tmp_path, *NEW)
    execute(before)
    old, steps = before.need("made"), str(before.recipe.train.steps)
    late = Stage("made", (), sections("train"), refused)
    for left in ("once", "onceagain"):
        with pytest.raises(ContractError, match="does not fit"):
            execute(changed, late)
        assert before.need("made") == old and content(before) == {steps}
        assert (changed.folder / "made.next" / "piece.txt").read_text() == left
    assert plan([STAGE], changed)[0].why == "changed: train.steps; an unfinished attempt would go on"
    assert not plan([STAGE], before)[0].todo
    with pytest.raises(ContractError):
        execute(make_run(tmp_path, "train.steps=8"), late)
    assert (changed.folder / "made.next" / "piece.txt").read_text() == "once", "other settings start anew"
    execute(changed)
    assert content(changed) == {"7"} and beside(changed) == ["made"]


def test_a_first_attempt_stands_in_its_own_place(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    with pytest.raises(ContractError):
        execute(run, Stage("made", (), sections("train"), refused))
    assert beside(run) == ["made"] and plan([STAGE], run)[0].why == "unfinished"


def test_what_is_cut_is_replaced_as_a_whole(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    execute(run)
    (run.stage("made") / "deep" / "a.txt").write_text("")
    execute(run)
    assert content(run) == {str(run.recipe.train.steps)} and beside(run) == ["made"]


def test_what_was_changed_can_be_taken_back_unless_an_input_changed_too(tmp_path: Path) -> None:
    run, following = make_run(tmp_path), Stage("following", ("made",), sections("sampling"), two_files)
    list(bring_up_to_date([STAGE, following], run, nullcontext))
    other = make_run(tmp_path, *NEW, "sampling.max_tokens=3")
    assert taken_back(STAGE, run) == ""
    assert taken_back(STAGE, other) == f"--set train.steps={run.recipe.train.steps}"
    assert taken_back(following, other) == f"--set sampling.max_tokens={run.recipe.sampling.max_tokens}"
    execute(other)
    assert taken_back(following, other) == "", "its input is another"


class Killed(BaseException):
    """Stands for the end of the process: from then on nothing changes on the disk, whatever is tried."""


def killed_before_change(number: int, run: Run) -> bool:
    """Bring the stage up to date until its `number`th change of a folder; False when it came to its end before."""
    seen = 0

    def unless_dead(change: Callable[..., None]) -> Callable[..., None]:
        def changed(*arguments: Any, **more: Any) -> None:
            nonlocal seen
            seen += 1
            if seen >= number:
                raise Killed
            change(*arguments, **more)

        return changed

    with pytest.MonkeyPatch.context() as patch:
        for name in CHANGES:
            patch.setattr(os, name, unless_dead(getattr(os, name)))
        try:
            execute(run)
        except Killed:
            return True
    return False


def moments(storage: Path) -> Iterator[tuple[int, Run, Run]]:
    """Runs that were killed while a new output replaced an old one, at every change on the disk."""
    for number in range(1, 100):
        before, after = make_run(storage / str(number)), make_run(storage / str(number), *NEW)
        execute(before)
        if not killed_before_change(number, after):
            return
        yield number, before, after
    raise AssertionError("the stage did not come to its end")


def test_killed_at_any_moment_there_is_the_old_output_or_the_new_one(tmp_path: Path) -> None:
    seen = []
    for number, before, after in moments(tmp_path):
        old = str(before.recipe.train.steps)
        seen.append(content(after))
        assert seen[-1] in ({old}, {"7"}, set()), "a half"
        if not seen[-1]:  # between two renames: both are there
            assert beside(after) == ["made.next", "made.old"]
        if number % 2:
            execute(after)
            assert content(after) == {"7"} and beside(after) == ["made"]
            assert not plan([STAGE], after)[0].todo
        else:
            execute(before)
            assert content(before) == {old} and not (before.folder / "made.old").exists()
    assert len(seen) > 15 and seen.count(set()) == 1 and {"7"} in seen


STORE_CHANGES = ("copy", "remove", "put")


@pytest.mark.slow
@pytest.mark.parametrize("change", STORE_CHANGES)
def test_in_a_store_killed_before_any_change_it_settles_to_the_new_output(
    bucket: Any, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """A store renames nothing: a replacement is copies and removals, begun anew after a kill between any two."""
    from crawl2chat.core.object_store import ObjectStore

    stage = Stage("two", (), sections("train"), two_files, needs_ray=False)

    def bring(*overrides: str) -> None:
        run = Run(load_recipe("tiny", [f"storage={bucket}", *overrides]))
        with run.lock():
            list(bring_up_to_date([stage], run, nullcontext))

    def found() -> list[str]:
        return [name for name in (bucket / "tiny").below() if not name.startswith("logs/")]

    real, at = getattr(ObjectStore, change), 0
    while True:
        bring()
        before = found()
        assert (bucket / "tiny/two/deep/a.txt").read_text() == "800"
        left = at

        def dies(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise SystemExit
            return real(*arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(ObjectStore, change, dies)
            with suppress(SystemExit):
                bring(*NEW)
        if left >= 0:
            break
        (bucket / "tiny" / "lock").unlink(missing_ok=True)  # which the dying one could not give back
        bring(*NEW)
        assert [(bucket / "tiny/two/deep" / f"{name}.txt").read_text() for name in ("a", "b")] == ["7", "7"]
        assert found() == before, at
        at += 1
    assert at >= 3
