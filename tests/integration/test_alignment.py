"""The stages `finetune` and `align` on Ray, on real rows: conversations packed, preferences with LoRA, a reward model,
GRPO; and the model that chats afterwards."""

from __future__ import annotations

import gzip
import json
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from crawl2chat.chat.answering import answering_stage
from crawl2chat.chat.session import ChatSession, Options
from crawl2chat.core.errors import InputError
from crawl2chat.core.manifest import Manifest
from crawl2chat.core.recipe import Recipe
from crawl2chat.core.run import Run
from crawl2chat.core.runner import bring_up_to_date
from crawl2chat.train.align_stage import align_stage
from crawl2chat.train.finetune_stage import finetune_stage
from crawl2chat.train.pretrain_stage import PRETRAIN

from .training_run import play_run

pytestmark = [pytest.mark.ray, pytest.mark.slow]
TURN = [{"role": "user", "content": "Edit the following sentence for grammar."}]


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory, shared_data: Path, local_ray: None) -> Run:
    """A model of a play, and two files of real rows, shortened: the context is 64."""
    folder = tmp_path_factory.mktemp("runs")
    for kind, name in (
        ("instruct", "rasbt_instruction_data.json.gz"),
        ("preference", "rasbt_instruction_data_with_preference.json.gz"),
    ):
        rows = json.loads(gzip.decompress((shared_data / kind / name).read_bytes()))
        short = [row for row in rows if len(row["instruction"] + row["input"]) < 60 and len(row["output"]) < 60]
        (folder / f"{kind}.json").write_text(json.dumps([*short, {"instruction": "an answer is missing"}]))
    data = {"paths": [str(folder / "instruct.json")], "too_long": "truncate", "validation_share": 0.1}
    run = play_run(
        folder, shared_data,
        {"steps": 60, "batch": 16, "checkpoint_every": 60, "validate_every": 60, "optimizer": {"warmup_steps": 5}},
        finetune={"data": data, "steps": 40, "batch": 8, "ending_prompts": 8, "ending_tokens": 40,
                  "optimizer": {"learning_rate": 3e-3, "warmup_steps": 4}},
    )  # fmt: skip
    bring(run, PRETRAIN)
    return run


@pytest.fixture(scope="module")
def tuned(pretrained: Run) -> Manifest:
    return bring(pretrained, finetune_stage(pretrained.recipe))


def bring(run: Run, stage: Any) -> Manifest:
    [(planned, made)] = list(bring_up_to_date([stage], run, nullcontext))
    assert planned.todo
    return made


def aligning(run: Run, tmp_path: Path, **align: Any) -> Run:
    """A copy of the run with a section align."""
    shutil.copytree(run.folder, tmp_path / run.recipe.name)
    raw = run.recipe.model_dump(mode="json") | {"storage": str(tmp_path), "align": align}
    return Run(Recipe.model_validate(raw))


def test_conversations_are_learned_packed_and_counted(pretrained: Run, tuned: Manifest) -> None:
    counters = tuned.counters
    assert counters["validation_loss"] < 0.9 * counters["validation_loss_before"]
    assert counters["rejected.unknown_format"] == 1
    assert counters["conversations"] == counters["examples"] + counters["validation_examples"] > 100
    assert counters["rows"] < counters["examples"] and counters["places_filled"] > 0.7
    assert counters["answers_asked"] == 8 and 0 <= counters["answers_ended"] <= 8
    [line] = (pretrained.stage("finetune") / "rejects.jsonl").read_text().splitlines()
    assert json.loads(line)["reason"] == "unknown_format"
    assert answering_stage(pretrained) == "finetune"


@pytest.mark.parametrize("lora", [None, {"rank": 4, "targets": ["query", "value", "up"]}], ids=["whole", "lora"])
def test_preferences_are_learned(pretrained: Run, tuned: Manifest, tmp_path: Path, lora: dict | None) -> None:
    run = aligning(
        pretrained, tmp_path,
        data={"paths": [str(pretrained.folder.parent / "preference.json")], "too_long": "truncate"},
        lora=lora, steps=20, validate_every=20, optimizer={"learning_rate": 3e-3 if lora else 1e-3, "warmup_steps": 2},
    )  # fmt: skip
    made = bring(run, align_stage(run.recipe))
    counters = made.counters
    assert counters["preference_accuracy_before"] == 0.5
    assert counters["preference_accuracy"] > 0.6 and counters["margin"] > 0 and counters["divergence"] > 0
    assert counters["rejected.missing"] == 1 and counters["pairs"] > 100
    assert made.facts["method"] == "dpo" and made.facts["checkpoint"].startswith("merged/" if lora else "checkpoints/")
    assert {entry.path for entry in made.files} >= {"reference/train-00000.arrow", "reference/validation-00000.arrow"}
    assert answering_stage(run) == "align"
    stream = ChatSession.open(run).answer(TURN, Options.of(run.recipe, max_tokens=8)).read()
    assert 0 <= stream.tokens <= 8


def test_a_reward_model_is_none_to_chat_with(pretrained: Run, tuned: Manifest, tmp_path: Path) -> None:
    paths = [str(pretrained.folder.parent / "preference.json")]
    run = aligning(
        pretrained, tmp_path, method="reward", data={"paths": paths, "too_long": "truncate"}, steps=20,
        validate_every=20, optimizer={"learning_rate": 1e-3, "warmup_steps": 2},
    )  # fmt: skip
    counters = bring(run, align_stage(run.recipe)).counters
    assert counters["preference_accuracy"] > 0.6 and "divergence" not in counters
    assert answering_stage(run) == "finetune"
    with pytest.raises(InputError, match="is a reward model"):
        ChatSession.open(run, "align")


def test_grpo_runs_through(pretrained: Run, tuned: Manifest, tmp_path: Path) -> None:
    own = {"group": 4, "max_tokens": 6, "held_out": 6, "updates": 2}
    run = aligning(
        pretrained, tmp_path, method="grpo", grpo=own, steps=4, batch=2, checkpoint_every=4, validate_every=4
    )
    made = bring(run, align_stage(run.recipe))
    assert {"held_out_reward", "held_out_reward_before", "divergence", "problems"} <= made.counters.keys()
    rows = [json.loads(line) for line in (run.stage("align") / "metrics.jsonl").read_text().splitlines()]
    assert any("reward" in row for row in rows) and answering_stage(run) == "align"
