"""A recipe is checked as a whole: each mistake gives one message with key, value and fix."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from crawl2chat.core.errors import RecipeError
from crawl2chat.core.recipe import SHIPPED, Recipe, load_recipe

SHIPPED_RECIPES = sorted(SHIPPED.glob("*.yaml"))


@pytest.mark.parametrize("path", SHIPPED_RECIPES, ids=lambda path: path.stem)
def test_shipped_recipes_load_and_survive_writing(path: Path) -> None:
    recipe = load_recipe(path)
    assert Recipe.model_validate(yaml.safe_load(recipe.to_yaml())) == recipe


def test_tiny_is_shipped_and_found_by_name() -> None:
    assert load_recipe("tiny") == load_recipe(SHIPPED / "tiny.yaml")


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("sources.web.max_page=5", ["unknown key sources.web.max_page", "5", "max_pages"]),
        ("filters.c4.lorem=1", ["unknown key filters.c4.lorem", "filter_lorem_ipsum"]),
        ("train.optimizer.lr=1", ["unknown key train.optimizer.lr", "learning_rate"]),
        ("trian.steps=1", ["unknown key trian"]),
        ("train.steps=many", ["train.steps", "'many'", "integer"]),
        ("train.steps=0", ["train.steps", "greater than or equal to 1"]),
        ("dedup=3", ["dedup = 3"]),
        (
            "extract.motor=resiliparse",
            ["unknown key extract.motor", "engine, max_html_bytes, min_chars, page_mb, page_seconds"],
        ),
        ("model.heads=3", ["model.heads is 3", "model.width (128)", "model.heads=2"]),
        ("model.kv_heads=3", ["model.kv_heads is 3", "model.heads (4)"]),
        ("model.head_size=33", ["head size is 33", "rotary", "set model.head_size"]),
        ("model.family=gpt3", ["model.family", "'gpt3'", "qwen3"]),
        ("train.batch=15", ["resources.train_workers is 2", "train.batch (15)"]),
        ("train.micro_batch=3", ["train.micro_batch is 3", "share of train.batch (4)", "train.micro_batch=2 would"]),
        ("train.batch_warmup=[{steps: 9, batch: 3}]", ["train.batch_warmup.0.batch (3)", "train_workers is 2"]),
        ("train.batch_warmup=[{steps: 9, batch: 10}]", ["batches of [10, 8]", "rising order"]),
        ("train.branch_from=x", ["train.branch_from is given", "schedule is cosine", "to wsd"]),
        (
            "train={branch_from: x, optimizer: {schedule: wsd, decay_share: 0.5}}",
            ["both given", "leave decay_share out"],
        ),
        ("resources.parallel.strategy=zero", ["resources.parallel.strategy", "'zero'", "'deepspeed'"]),
        ("resources.parallel.strategy=single", ["strategy is single", "train_workers is 2", "ddp, fsdp or deepspeed"]),
        ("resources.parallel.shard_over=3", ["shard_over is 3", "resources.train_workers (2)", "shard_over=2"]),
        (
            "resources={parallel: {shard_over: 2}, min_train_workers: 1}",
            ["shard_over is 2", "leave one of the two"],
        ),
        ("resources.parallel={strategy: ddp, shard_over: 2}", ["shard_over is 2", "the strategy is ddp", "=fsdp"]),
        ("resources.parallel={strategy: deepspeed, compile: true}", ["compile is on", "compile=false"]),
        ("resources.parallel={strategy: deepspeed, checkpointing: full}", ["checkpointing is full", "=none"]),
        ("train.optimizer.decay_share=0.5", ["decay_share is given", "schedule is cosine", "to wsd"]),
        ("instructions.source=books", ["instructions.source is 'books'", "web"]),
        ("sources.web.name=wiki", ["'wiki' is used twice"]),
        ("sources.web.site=null", ["sources.web.seeds is empty"]),
        ("sources.books.path=x", ["no item 'books'", "web, wiki"]),
        ("mixture={epochs: {y: 1}}", ["mixture names 'y'", "'web', 'wiki'", "correct 'y'"]),
        ("mixture={epochs: {web: 1}}", ["no number for the source 'wiki'", "give it one"]),
        ("train.steps.more=1", ["train.steps.more", "not a section"]),
        ("steps", ["section.key=value"]),
        ("name=[", ["not a YAML value"]),
    ],
)
def test_mistakes_name_key_value_and_fix(override: str, parts: list[str]) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("tiny", [override])
    message = str(caught.value)
    assert "fix: " in message
    for part in parts:
        assert part in message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("{kind: jsonl, name: t, path: x}", ["unknown key sources.t.path = 'x'", "did you mean 'paths'?"]),
        ("{kind: books, name: t, paths: [x], encoding: klingon}", ["sources.t.encoding is 'klingon'", "cp1252"]),
    ],
)
def test_mistakes_in_a_source(tmp_path: Path, source: str, parts: list[str]) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(f"name: r\nsources: [{source}]\n")
    with pytest.raises(RecipeError) as caught:
        load_recipe(file)
    for part in parts:
        assert part in str(caught.value)


def test_muon_cannot_work_on_what_deepspeed_shards() -> None:
    for section in ("train", "finetune"):
        with pytest.raises(RecipeError, match="(?s)optimizer.muon is given, but deepspeed .*fix: set .*fsdp or ddp"):
            load_recipe("tiny", ["resources.parallel.strategy=deepspeed", f"{section}.optimizer.muon={{}}"])


def test_overrides_reach_sections_and_sources() -> None:
    recipe = load_recipe("tiny", ["sources.web.max_pages=7", "train.optimizer.learning_rate=0.5", "filters.c4=null"])
    assert recipe.crawl_sources()[0].max_pages == 7
    assert recipe.train.optimizer.learning_rate == 0.5
    assert recipe.filters.c4 is None


def test_files_that_are_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="shipped recipes: .*tiny"):
        load_recipe(tmp_path / "absent.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("name: [")
    with pytest.raises(RecipeError, match="not readable as YAML"):
        load_recipe(broken)
    broken.write_text("- a\n")
    with pytest.raises(RecipeError, match="list, not a mapping"):
        load_recipe(broken)
    broken.write_text("name: x\n")
    with pytest.raises(RecipeError, match="sources is missing"):
        load_recipe(broken)
