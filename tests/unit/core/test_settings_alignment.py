"""Mistakes in the sections for chat data, LoRA and alignment, and what counts in their stages' fingerprints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from crawl2chat.core.errors import RecipeError
from crawl2chat.core.recipe import Recipe, load_recipe
from crawl2chat.core.stage import fingerprint
from crawl2chat.train.align_stage import align_stage
from crawl2chat.train.finetune_stage import FINETUNE, config_of, finetune_stage

SOURCES = [{"name": "wiki", "kind": "jsonl", "paths": ["unused.jsonl"]}]
INSTRUCTED = {"name": "x", "sources": SOURCES, "instructions": {}}


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("align={}", ["align.method is dpo", "names no pairs", "from_instructions: true"]),
        ("align={method: ipo, label_smoothing: 0.1, data: {paths: [a]}}", ["label_smoothing is 0.1", "method ipo"]),
        ("align={method: reward, lora: {targets: [head]}, data: {paths: [a]}}", ["targets has head"]),
        ("align={method: grpo, steps: 9, grpo: {updates: 2}}", ["align.steps is 9", "(2)", "multiple"]),
        ("align={method: grpo, checkpoint_every: 5, grpo: {updates: 2}}", ["align.checkpoint_every is 5"]),
        ("align={method: grpo, lora: {dropout: 0.1}}", ["align.lora.dropout is 0.1", "grpo", "set it to 0"]),
        ("align.batch=3", ["train_workers is 2", "align.batch (3)"]),
        ("align.grpo.group=1", ["align.grpo.group = 1"]),
        ("instructions=null", ["nothing to fine-tune on", "align: null"]),
        ("finetune.data={paths: []}", ["finetune.data.paths"]),
        ("finetune.data={paths: [a], template: jinja}", ["template is jinja", "template_folder None"]),
        ("finetune.data={paths: [a], template_folder: b}", ["template is None, and template_folder b"]),
        (
            "finetune={too_long: split, data: {paths: [a]}}",
            ["finetune.too_long is split", "(drop)", "set finetune.data.too_long"],
        ),
        ("finetune.lora={targets: [q_proj]}", ["finetune.lora.targets"]),
        ("finetune.lora={rank: 0}", ["finetune.lora.rank = 0"]),
    ],
)
def test_mistakes_name_key_and_fix(override: str, parts: list[str]) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("tiny", [override])
    assert caught.value.fix
    for part in parts:
        assert part in str(caught.value), str(caught.value)


@pytest.mark.parametrize("section", ["finetune", "align"])
def test_deepspeed_cannot_freeze(section: str) -> None:
    with pytest.raises(RecipeError, match=rf"(?s){section}.lora is given, but deepspeed.*fix: set .*fsdp or ddp"):
        load_recipe("tiny", ["resources.parallel.strategy=deepspeed", f"{section}.lora={{}}"])


def test_local_files_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = load_recipe(
        "tiny",
        ["finetune.data={paths: [a.json], template: jinja, template_folder: t}", "align.data={paths: [p.json]}"],
    )
    data, align = recipe.finetune.data, recipe.align
    assert data is not None and align is not None
    assert (data.paths, data.template_folder) == ([str(tmp_path / "a.json")], str(tmp_path / "t"))
    assert align.data.paths == [str(tmp_path / "p.json")]
    assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe


def mark(stage: Any, **sections: Any) -> str:
    recipe = Recipe.model_validate({**INSTRUCTED, **sections})
    return fingerprint(stage(recipe), recipe, {})


def test_runs_from_before_there_were_the_keys_keep_their_fingerprint() -> None:
    recipe = Recipe.model_validate(INSTRUCTED)
    before = {"steps", "batch", "optimizer", "guard"}
    assert set(config_of(recipe)["finetune"]) == before
    assert finetune_stage(recipe) is FINETUNE and FINETUNE.external(recipe) == {}
    assert mark(finetune_stage) == mark(finetune_stage, finetune={"ending_prompts": 3, "log_every": 7})


def test_what_the_weights_depend_on(tmp_path: Path) -> None:
    file = tmp_path / "chats.jsonl"
    file.write_text("{}\n")
    data = {"paths": [str(file)]}
    marks = [
        mark(finetune_stage),
        mark(finetune_stage, finetune={"lora": {}}),
        mark(finetune_stage, finetune={"lora": {"rank": 4}}),
        mark(finetune_stage, finetune={"data": data}),
        mark(finetune_stage, finetune={"data": {**data, "packing": False}}),
    ]
    house = {"data": {**data, "template": "house"}}
    assert mark(finetune_stage, finetune=house) == marks[3], "what it is without a base"
    assert mark(finetune_stage, finetune=house, base="b") != mark(finetune_stage, finetune={"data": data}, base="b")
    file.write_text("{}\n{}\n")
    marks.append(mark(finetune_stage, finetune={"data": data}))
    assert len(set(marks)) == len(marks)


def test_of_the_methods_own_settings_those_of_the_method_count() -> None:
    made = {"data": {"from_instructions": True}}
    dpo, grpo = made, {"method": "grpo"}
    assert mark(align_stage, align=dpo) == mark(align_stage, align={**dpo, "grpo": {"group": 4}})
    assert mark(align_stage, align=dpo) != mark(align_stage, align={**dpo, "beta": 0.2})
    assert mark(align_stage, align=grpo) == mark(align_stage, align={**grpo, "beta": 0.2})
    assert mark(align_stage, align=grpo) != mark(align_stage, align={**grpo, "grpo": {"group": 4}})
