"""The stage runner: what runs, what is skipped, what continues, and why."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from crawl2chat.core.errors import BusyError, ContractError, InputError, RecipeError
from crawl2chat.core.files import atomic_path, write_text
from crawl2chat.core.manifest import file_entry, read_manifest
from crawl2chat.core.recipe import load_recipe
from crawl2chat.core.run import Run
from crawl2chat.core.runner import bring_up_to_date
from crawl2chat.core.stage import Stage, StageContext, StageResult, plan, sections


def no_ray() -> AbstractContextManager[None]:
    return nullcontext()


def writes(name: str, text: Callable[[StageContext], str]) -> Callable[[StageContext], StageResult]:
    def work(ctx: StageContext) -> StageResult:
        path = ctx.folder / f"{name}.txt"
        write_text(path, text(ctx))
        return StageResult([file_entry(ctx.folder, path, rows=1)], {"letters": len(text(ctx))}, {"name": name})

    return work


def make_run(storage: Path, *overrides: str) -> Run:
    return Run(load_recipe("tiny", [f"storage='{storage}'", *overrides]))


FIRST = Stage(
    "first", (), sections("tokenizer"), writes("first", lambda c: f"v{c.recipe.tokenizer.vocab_size // 1000}")
)
SECOND = Stage(
    "second",
    ("first",),
    sections("train"),
    writes("second", lambda c: (c.input_folder("first") / "first.txt").read_text()),
)


def execute(run: Run, *stages: Stage) -> list[str]:
    return [item.stage.name for item, _ in bring_up_to_date(stages, run, no_ray) if item.todo]


def test_second_time_nothing_runs_and_no_session_starts(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    assert execute(run, FIRST, SECOND) == ["first", "second"]

    def never() -> AbstractContextManager[None]:
        raise AssertionError("a finished run must not start Ray")

    assert [item.todo for item, _ in bring_up_to_date([FIRST, SECOND], run, never)] == [False, False]


def test_a_changed_setting_reruns_what_depends_on_it(tmp_path: Path) -> None:
    execute(make_run(tmp_path), FIRST, SECOND)
    assert execute(make_run(tmp_path, "train.steps=7"), FIRST, SECOND) == ["second"]
    assert execute(make_run(tmp_path, "train.steps=7", "tokenizer.vocab_size=5000"), FIRST, SECOND) == [
        "first",
        "second",
    ]


def test_equal_output_stops_the_wave(tmp_path: Path) -> None:
    execute(make_run(tmp_path), FIRST, SECOND)
    # 2048 and 2050 give the same bytes: the second stage's input did not change
    assert execute(make_run(tmp_path, "tokenizer.vocab_size=2050"), FIRST, SECOND) == ["first"]


def test_how_it_was_made_stands_in_the_manifest_and_stops_no_wave(tmp_path: Path) -> None:
    def work(ctx: StageContext) -> StageResult:
        result = writes("first", lambda c: "the same")(ctx)
        return replace(result, notes={"encoder": f"as of {ctx.recipe.tokenizer.vocab_size}"})

    noted = replace(FIRST, work=work)
    execute(make_run(tmp_path), noted, SECOND)
    assert execute(make_run(tmp_path, "tokenizer.vocab_size=5000"), noted, SECOND) == ["first"]
    assert make_run(tmp_path).need("first").notes == {"encoder": "as of 5000"}


def test_the_manifest_says_what_a_stage_was_made_with(tmp_path: Path) -> None:
    import platform
    from importlib.metadata import version

    holding = replace(FIRST, holds=lambda recipe: recipe.resources.training)
    alone = replace(SECOND, needs_ray=False)
    prices = ("resources.gpus_per_worker=0.5", "resources.price_per_gpu_hour=2")
    run = make_run(tmp_path, "resources.train_workers=2", "resources.cpus_per_worker=2", *prices)
    assert execute(run, holding, alone) == ["first", "second"]
    found = run.need("first").made_with
    assert found["versions"]["python"] == platform.python_version() and found["versions"]["ray"] == version("ray")
    assert found["versions"]["crawl2chat"].startswith(run.need("first").code_version)
    assert found["processors"] == {"CPU": 4.0, "GPU": 1.0}
    assert run.need("second").made_with["processors"] == {"CPU": 1.0}
    assert execute(make_run(tmp_path, "resources.train_workers=1"), holding, alone) == [], "nothing depends on it"


def test_plan_says_why_without_doing_anything(tmp_path: Path) -> None:
    assert [(p.todo, p.why) for p in plan([FIRST, SECOND], make_run(tmp_path))] == [
        (True, "never ran"),
        (True, "after first"),
    ]
    assert not list(tmp_path.iterdir())
    execute(make_run(tmp_path), FIRST, SECOND)
    changed = plan([FIRST, SECOND], make_run(tmp_path, "tokenizer.vocab_size=5000"))
    assert [(p.todo, p.why) for p in changed] == [(True, "changed: tokenizer.vocab_size"), (True, "after first")]


def test_a_lost_or_cut_file_is_found(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    execute(run, FIRST, SECOND)
    (run.stage("first") / "first.txt").write_text("")
    assert plan([FIRST], run)[0].why == "missing or cut: first.txt"
    assert execute(run, FIRST, SECOND) == ["first"]
    assert (run.stage("first") / "first.txt").read_text() == "v2"


def test_an_unfinished_stage_keeps_its_pieces_only_under_the_same_settings(tmp_path: Path) -> None:
    seen: list[bool] = []

    def dies(ctx: StageContext) -> StageResult:
        piece = ctx.folder / "piece.txt"
        seen.append(piece.exists())
        write_text(piece, "x")
        with atomic_path(ctx.folder / "half.txt") as partial:
            partial.write_text("half")
            raise RuntimeError("killed")

    stage = Stage("dies", (), sections("train"), dies)
    for overrides in ((), (), ("train.steps=7",)):
        with pytest.raises(RuntimeError):
            execute(make_run(tmp_path, *overrides), stage)
    assert seen == [False, True, False]
    assert read_manifest(make_run(tmp_path).stage("dies")) is None
    assert sorted(p.name for p in make_run(tmp_path).stage("dies").iterdir()) == ["piece.txt", "started.json"]


def test_leftovers_of_a_killed_writer_are_removed(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    stage = Stage("s", (), sections("train"), writes("s", lambda c: str(len(list(c.folder.glob(".*.partial"))))))
    with pytest.raises(ZeroDivisionError):
        execute(run, Stage("s", (), sections("train"), lambda c: StageResult([], {"x": 1 // 0})))
    (run.stage("s") / ".s.txt.0000.partial").write_text("half")
    execute(run, stage)
    assert (run.stage("s") / "s.txt").read_text() == "0"


def test_an_input_that_is_not_finished_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"first is not finished[\s\S]*run it first"):
        execute(make_run(tmp_path), SECOND)


def test_manifests_of_other_kinds_are_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    execute(run, FIRST)
    path = run.stage("first") / "manifest.json"
    good = path.read_text()
    path.write_text(good.replace('"schema_version": 1', '"schema_version": 99'))
    with pytest.raises(ContractError, match="schema_version 99, this program reads 1"):
        run.manifest("first")
    path.write_text("{}")
    with pytest.raises(InputError, match="is not a manifest"):
        run.manifest("first")


def test_a_check_comes_before_the_session_and_before_anything_is_removed(tmp_path: Path) -> None:
    execute(make_run(tmp_path), FIRST)

    def refuse(ctx: StageContext) -> None:
        raise ContractError("these do not fit", "mend them")

    def never() -> AbstractContextManager[None]:
        raise AssertionError("the check comes first")

    stage = Stage(FIRST.name, (), sections("train"), FIRST.work, check=refuse)
    with pytest.raises(ContractError, match="do not fit"):
        list(bring_up_to_date([stage], make_run(tmp_path), never))
    assert make_run(tmp_path).need("first").counters == {"letters": 2}


def test_one_process_at_a_time(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    with run.lock(), pytest.raises(BusyError, match="is being worked on by process"), run.lock():
        pass
    with run.lock():  # released again
        pass


def test_open_finds_the_recipe_where_the_folder_lies_now(tmp_path: Path) -> None:
    run = make_run(tmp_path, "train.steps=7")
    with run.lock():
        run.write_recipe()
    moved = tmp_path / "elsewhere"
    run.folder.rename(moved)
    opened = Run.open(moved)
    assert opened.folder == moved
    assert opened.recipe.train.steps == 7
    with pytest.raises(InputError, match="is not a run"):
        Run.open(tmp_path / "absent")
    with pytest.raises(RecipeError, match="does not go with --run"):
        Run.open(moved, ("name=other",))


def test_open_takes_a_folder_as_it_is_named(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a: b #c", "name='2024'")
    with run.lock():
        run.write_recipe()
    assert Run.open(run.folder).folder == run.folder


def test_inputs_are_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = tmp_path / "r.yaml"
    recipe.write_text("name: r\nsources: [{name: a, kind: jsonl, paths: [x/*.jsonl, 's3://b/y.jsonl']}]\n")
    [source] = load_recipe(recipe).sources
    assert source.kind == "jsonl"
    assert source.paths == [f"{tmp_path}/x/*.jsonl", "s3://b/y.jsonl"]


def test_credentials_are_in_no_file_and_in_no_fingerprint(tmp_path: Path) -> None:
    """Another password changes nothing, and neither does the recipe that the run keeps, which has none."""
    reads = Stage(
        "reads",
        (),
        lambda recipe: {"sources": [source.identity() for source in recipe.sources]},
        lambda ctx: replace(writes("reads", lambda c: "x")(ctx), notes={"from": str(ctx.recipe.sources[0].identity())}),
        external=lambda recipe: dict.fromkeys(recipe.sources[0].identity()["paths"], "1:2"),
    )

    def run_with(password: str) -> Run:
        path = f"https://jane:{password}@host/a.jsonl?token={password}"
        raw = {"name": "r", "storage": str(tmp_path), "sources": [{"kind": "jsonl", "name": "s", "paths": [path]}]}
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(raw))
        return Run(load_recipe(tmp_path / "recipe.yaml"))

    run = run_with("swordfish")
    assert execute(run, reads) == ["reads"]
    run.write_recipe()
    written = {path: path.read_text() for path in run.folder.rglob("*") if path.is_file()}
    assert any("https://***@host/a.jsonl?token=***" in text for text in written.values())
    assert [path for path, text in written.items() if "swordfish" in text or "jane" in text] == []
    assert execute(run_with("marlin"), reads) == []
    assert execute(Run.open(run.folder), reads) == []
