"""What the stages of training depend on: their fingerprints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from crawl2chat.core.recipe import Recipe
from crawl2chat.core.stage import Stage, fingerprint
from crawl2chat.train.finetune_stage import FINETUNE
from crawl2chat.train.pretrain_stage import PRETRAIN, config_of


def mark(stage: Stage, **sections: Any) -> str:
    raw = {"name": "x", "sources": [{"name": "play", "kind": "jsonl", "paths": ["unused.jsonl"]}], **sections}
    return fingerprint(stage, Recipe.model_validate(raw), {})


def spread(strategy: str) -> dict[str, Any]:
    return {"parallel": {"strategy": strategy}, "train_workers": 1 if strategy == "single" else 2}


@pytest.mark.parametrize("stage", [PRETRAIN, FINETUNE])
def test_the_strategy_is_part_of_it_where_it_decides_what_is_rounded(stage: Stage) -> None:
    strategies = ("single", "ddp", "fsdp", "deepspeed")
    whole, half = (
        {name: mark(stage, train={"precision": precision}, resources=spread(name)) for name in strategies}
        for precision in ("fp32", "bf16")
    )
    assert len(set(whole.values())) == 1
    assert half["single"] == half["ddp"] and len({*half.values(), whole["fsdp"]}) == 4


@pytest.mark.parametrize(("stage", "section"), [(PRETRAIN, "train"), (FINETUNE, "finetune")])
def test_the_place_of_checkpoints_is_part_of_it_where_the_run_may_go_back_to_them(stage: Stage, section: str) -> None:
    def saved(policy: str, every: int) -> str:
        return mark(stage, **{section: {"guard": {"policy": policy}, "checkpoint_every": every}})

    assert saved("skip", 10) == saved("skip", 20)
    assert saved("rewind", 10) != saved("rewind", 20)


def test_the_key_transfer_counts_where_it_is_given() -> None:
    """Without it a model is what it was before there was the key."""
    recipe = Recipe.model_validate(
        {"name": "x", "sources": [{"name": "a", "kind": "jsonl", "paths": ["unused.jsonl"]}]}
    )
    assert "transfer" not in config_of(recipe)["model"]
    marks = {
        mark(PRETRAIN, model={"transfer": base and {"base_width": base, "base_layers": 2}}) for base in (None, 64, 32)
    }
    assert len(marks) == 3


def test_a_branch_depends_on_what_the_checkpoint_holds_not_on_its_place_alone(tmp_path: Path) -> None:
    train = {"branch_from": str(tmp_path), "optimizer": {"schedule": "wsd"}}
    marks = [mark(PRETRAIN, train=train)]
    for text in ("first", "trained again", "first"):
        (tmp_path / "meta.json").write_text(text)
        marks.append(mark(PRETRAIN, train=train))
    assert marks[1] == marks[3] and len(set(marks)) == 3
