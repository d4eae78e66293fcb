"""A recipe with `base`: an imported model, with tokenizer and chat template of its own, is fine-tuned and answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tokenizers
from crawl2chat.chat.importing import run_import
from crawl2chat.chat.session import ChatSession, Options
from crawl2chat.core.errors import InputError
from crawl2chat.core.files import write_json
from crawl2chat.core.manifest import Manifest, file_entry, write_manifest
from crawl2chat.core.progress import Progress
from crawl2chat.core.recipe import Recipe
from crawl2chat.core.run import Run
from crawl2chat.core.settings_alignment import Align
from crawl2chat.core.stage import Stage, StageContext, plan
from crawl2chat.model.config import ModelConfig
from crawl2chat.model.huggingface import write_model
from crawl2chat.model.transformer import Transformer
from crawl2chat.pipelines.stages import all_stages
from tokenizers import AddedToken, models, pre_tokenizers
from tokenizers.decoders import ByteLevel

pytestmark = [pytest.mark.ray, pytest.mark.slow]

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' ~ m.role ~ '\n' ~ m.content ~ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
QUESTION, ANSWER = (
    {"role": "user", "content": "What is an acid?"},
    {"role": "assistant", "content": "It is sour: pH 3."},
)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A small llama with random weights and bytes for tokens, imported."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    alphabet = {one: index for index, one in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    made = tokenizers.Tokenizer(models.BPE(vocab=alphabet, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    made.decoder = ByteLevel()  # type: ignore[assignment]
    made.add_special_tokens([AddedToken(one, special=True) for one in ("<|start|>", "<|im_start|>", "<|im_end|>")])
    made.save(str(folder / "tokenizer.json"))
    tokens = {"bos_token": "<|start|>", "eos_token": "<|im_end|>", "chat_template": CHATML}
    write_json(folder / "tokenizer_config.json", tokens)
    config = ModelConfig(
        vocab_size=264, layers=1, width=32, heads=2, kv_heads=1, feed_forward=64, context=256, qk_norm=False
    )
    model = Transformer(config)
    model.init_weights(1)
    write_model(folder, model, begin=256, stop=[258])
    run_import(folder, tmp_path / "base", context=128)
    return tmp_path / "base"


@pytest.fixture
def run(base: Path, tmp_path: Path) -> Run:
    """Its stage `instructions` is finished, with one pair."""
    recipe = Recipe.model_validate(
        {
            "name": "tuned",
            "storage": str(tmp_path),
            "base": str(base),
            "sources": [{"name": "wiki", "kind": "jsonl", "paths": ["x.jsonl"]}],
            "instructions": {},
            "finetune": {
                "steps": 150, "batch": 4, "checkpoint_every": 150, "validate_every": 150,
                "optimizer": {"learning_rate": 1e-2, "warmup_steps": 5},
            },
            "resources": {"train_workers": 1},
        }
    )  # fmt: skip
    run = Run(recipe)
    folder = run.stage("instructions")
    folder.mkdir(parents=True)
    row = json.dumps({"doc_id": "d", "messages": [QUESTION, ANSWER]}) + "\n"
    for name, text in (("pairs.jsonl", row * 8), ("pairs_validation.jsonl", row)):
        (folder / name).write_text(text, encoding="utf-8")
    finish(run, Stage("instructions", (), lambda recipe: {}, lambda ctx: None), [folder / "pairs.jsonl"], {}, {})  # type: ignore[arg-type]
    return run


def finish(run: Run, stage: Stage, paths: list[Path], counters: dict, facts: dict) -> None:
    folder = run.stage(stage.name)
    write_manifest(
        folder,
        Manifest(
            stage=stage.name, version=1, config=stage.config(run.recipe), fingerprint=stage.name, inputs={},
            files=[file_entry(folder, path, 1) for path in paths], counters=counters, facts=facts, code_version="",
            seconds=0.0,
        ),
    )  # fmt: skip


def do(run: Run, name: str) -> dict[str, float | int]:
    """Run a stage of the recipe on what is there."""
    [stage] = (stage for stage in all_stages(run.recipe) if stage.name == name)
    context = StageContext(run, run.stage(name), {one: run.need(one) for one in stage.inputs}, Progress(name))
    context.folder.mkdir(parents=True, exist_ok=True)
    stage.check(context)
    result = stage.work(context)
    finish(run, stage, [context.folder / one.path for one in result.files], result.counters, result.facts)
    return result.counters


def test_it_is_fine_tuned_in_its_own_template_and_answers(run: Run, base: Path, local_ray: None) -> None:
    assert do(run, "tokenizer") == {"vocab_size": 259}
    assert do(run, "pretrain")["parameters"] == ChatSession.open(base).model.config.parameters()
    counters = do(run, "finetune")
    assert counters["validation_loss"] < 0.1 * counters["validation_loss_before"]
    session = ChatSession.open(run)
    assert session.model.config.context == 128 and session.stop_ids == {256, 258}
    options = Options.of(None, temperature=0, max_tokens=60)
    stream = session.answer([QUESTION], options).read()
    assert stream.text == ANSWER["content"]
    assert ChatSession.open(run, "pretrain").answer([QUESTION], options).read().text != stream.text
    before = session.template.encode([QUESTION, ANSWER]) if session.template else None
    assert before is not None and before[0][0] == 257, "ChatML's <|im_start|>, not our <|user|>"
    aligned = preferring(run)
    counters = do(aligned, "align")
    assert counters["pairs"] > 0 and counters["validation_pairs"] > 0 and "rejected.template" not in counters
    assert counters["preference_accuracy_before"] == 0.5 < counters["preference_accuracy"]
    session = ChatSession.open(aligned)
    assert session.template and session.template.encode([QUESTION, ANSWER])[0] == before[0]


def preferring(run: Run) -> Run:
    """The run with a few steps of DPO: answers of one letter are preferred to those of another."""
    path = run.folder / "preferences.jsonl"
    rows = ({"prompt": f"Question {n}?", "chosen": "a" * n, "rejected": "b" * n} for n in range(1, 21))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    settings = {
        "data": {"paths": [str(path)], "validation_share": 0.3}, "steps": 6, "batch": 4,
        "optimizer": {"learning_rate": 1e-3, "warmup_steps": 1},
    }  # fmt: skip
    return Run(run.recipe.model_copy(update={"align": Align.model_validate(settings)}))


def test_only_what_it_needs_is_planned(run: Run) -> None:
    names = [stage.name for stage in all_stages(run.recipe)]
    assert names[-5:] == ["tokenizer", "pretrain", "instructions", "finetune", "samples"]
    assert "shards" not in names and "tune" not in names and names[0] == "crawl"
    alone = run.recipe.model_copy(update={"instructions": None})
    assert [stage.name for stage in all_stages(alone)] == ["tokenizer", "pretrain", "samples"]
    assert plan(all_stages(alone), Run(alone))[0].why == "never ran"


def test_a_base_that_is_none(run: Run, base: Path) -> None:
    elsewhere = Run(run.recipe.model_copy(update={"base": str(base.parent / "nowhere"), "instructions": None}))
    with pytest.raises(InputError, match="base: .*nowhere holds no imported model\n.*crawl2chat import"):
        plan(all_stages(elsewhere.recipe), elsewhere)
