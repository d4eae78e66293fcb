"""Our scores are lm-evaluation-harness's, item by item: its own task files and models, offline, on real questions."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from crawl2chat.core.errors import InputError
from crawl2chat.core.files import write_json
from crawl2chat.evaluate.answers import flexible_extract
from crawl2chat.evaluate.models import model_in, open_model
from crawl2chat.evaluate.prompts import preambles, turns
from crawl2chat.evaluate.records import Record
from crawl2chat.evaluate.scoring import asked_pairs, score
from crawl2chat.evaluate.tasks import TASKS
from crawl2chat.evaluate.text_tokenizer import ModelTokenizer, TextTokenizer
from crawl2chat.evaluate.writing import write_answers
from crawl2chat.model.config import ModelConfig
from crawl2chat.model.generation import generate
from crawl2chat.model.huggingface import write_model
from crawl2chat.model.transformer import Transformer
from crawl2chat.tokenize.bpe import END, Tokenizer
from crawl2chat.tokenize.hf_files import tokenizer_config

from .conftest import random_weights

pytestmark = pytest.mark.slow
CONTEXT = 512  # less than five examples have with this tokenizer: their beginning is cut off
WRITTEN = 6  # answers
SHOTS = {"mmlu_anatomy": 5, "mmlu_virology": 0, "arc_easy": 2, "gsm8k": 0}
SUBJECTS = "The following are multiple choice questions (with answers) about {}.\n\n"


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).decode().split("\n") if line]


def write(path: Path, found: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def small(tokenizer: Tokenizer) -> Transformer:
    return random_weights(
        ModelConfig(tokenizer.vocab_size, layers=2, width=32, heads=4, kv_heads=2, feed_forward=40, context=CONTEXT)
    ).eval()


@pytest.fixture(scope="module")
def chatty(shared_data: Path, tokenizer: Tokenizer) -> Transformer:
    """A model whose answers end with `<|end|>`: its head exchanges that for a token which a first answer has within."""
    model = random_weights(
        ModelConfig(
            tokenizer.vocab_size, layers=2, width=32, heads=4, kv_heads=2, feed_forward=40, context=CONTEXT,
            tied_embeddings=False,
        )
    ).eval()  # fmt: skip
    end = tokenizer.special(END)
    for item in TASKS["gsm8k"].load(shared_data)[:WRITTEN]:
        ids = tokenizer.encode(item.contexts[0])[-CONTEXT // 2 :]
        written = list(generate(model, ids, max_tokens=60, temperature=0))
        inner = [token for place, token in enumerate(written) if place > 5 and token not in written[:place]]
        if inner and end not in written:
            with torch.no_grad():
                model.head.weight[[end, inner[0]]] = model.head.weight[[inner[0], end]]
            return model
    raise AssertionError("no answer has a token that comes late")


@pytest.fixture(scope="module")
def folder(
    shared_data: Path,
    tmp_path_factory: pytest.TempPathFactory,
    small: Transformer,
    chatty: Transformer,
    tokenizer: Tokenizer,
) -> Path:
    """What harness_run.py takes: both models exported, some questions of each task."""
    pytest.importorskip("lm_eval", reason="not a dependency; pip install crawl2chat[eval] to run it")
    made = tmp_path_factory.mktemp("harness")
    for name, model, ends in (("hf", small, []), ("chat", chatty, [tokenizer.special(END)])):
        (made / name).mkdir()
        write_model(made / name, model, tokenizer.end_of_text, [tokenizer.end_of_text, *ends])
        (made / name / "tokenizer.json").write_bytes(tokenizer._data)
        write_json(made / name / "tokenizer_config.json", tokenizer_config(CONTEXT, chat=bool(ends)))
    test, dev = rows(shared_data / "mmlu/test.jsonl.gz"), rows(shared_data / "mmlu/dev.jsonl.gz")
    arc, gsm8k = (rows(shared_data / f"eval-tasks/{name}.jsonl.gz") for name in ("arc_easy_val", "gsm8k_test"))
    said: dict[str, Any] = {}
    for subject in ("anatomy", "virology"):
        files = {
            split: write(made / f"{subject}_{split}.jsonl", [row for row in some if row["subject"] == subject][:24])
            for split, some in (("test", test), ("dev", dev))
        }
        description = {"description": SUBJECTS.format(subject)}
        said[f"mmlu_{subject}"] = {"template": "mmlu/default/_default_template_yaml", "files": files}
        said[f"mmlu_{subject}"]["changes"] = description
    files = {"test": write(made / "arc_test.jsonl", arc[:40]), "dev": write(made / "arc_dev.jsonl", arc[100:160])}
    said["arc_easy"] = {"template": "arc/arc_easy.yaml", "files": files}
    files = {"test": write(made / "gsm8k_test.jsonl", gsm8k[:WRITTEN])}
    said["gsm8k"] = {"template": "gsm8k/gsm8k.yaml", "files": files}
    for name, shots in SHOTS.items():
        said[name]["shots"] = shots
    write_json(made / "tasks.json", said)
    write_json(made / "texts.json", ["The history of it is long. " * 60, "An acid", "漢字 is sour. " * 40])
    return made


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[str, Any]:
    """What the harness gave."""
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(folder / "home")}
    done = subprocess.run(
        [sys.executable, "-P", str(Path(__file__).with_name("harness_run.py")), str(folder)],
        cwd=folder, env=os.environ | offline | {"TOKENIZERS_PARALLELISM": "false"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((folder / "found.json").read_text(encoding="utf-8"))


def by_item(samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(samples, key=lambda one: one["doc_id"])


def ours(
    folder: Path, model: Transformer, tokenizer: TextTokenizer, name: str, chat: bool = False
) -> tuple[list[list[tuple[str, str]]], list[Record]]:
    """Prompts and records of the engine, on the same files."""
    files = json.loads((folder / "tasks.json").read_text())[name]["files"]
    task, shots = TASKS[name.split("_")[0] if name.startswith("mmlu") else name], SHOTS[name]
    items = task.read(Path(files["test"]))
    pool = task.read(Path(files["dev"])) if shots else []
    before = (turns if chat else preambles)(task, items, pool, shots)
    asked = [asked_pairs(tokenizer, task, item, one) for item, one in zip(items, before, strict=True)]
    return asked, score(model, tokenizer, task, items, pool, shots=shots, chat=chat)


def same_scores(asked: list[list[tuple[str, str]]], records: list[Record], theirs: list[dict[str, Any]]) -> None:
    """Prompts to the character, log-likelihoods, greediness and acc of every item."""
    assert len(theirs) == len(records) >= 24
    assert [[tuple(pair) for pair in one["arguments"]] for one in theirs] == asked
    scores = [[float(first[0]) for (first,) in one["resps"]] for one in theirs]
    for mine, other in zip(records, scores, strict=True):
        np.testing.assert_allclose(mine.log_likelihoods, other, rtol=1e-5, atol=1e-5)
    greedy = [tuple(str(first[1]) == "True" for (first,) in one["resps"]) for one in theirs]
    assert [one.greedy for one in records] == greedy
    assert [float(one.acc) for one in records] == [one["acc"] for one in theirs]
    assert 0 < np.mean([one.acc for one in records]) < 1, "both kinds of answers are compared"


@pytest.mark.parametrize("name", ["mmlu_anatomy", "mmlu_virology", "arc_easy"])
@pytest.mark.parametrize("engine", ["hf", "ours"])
def test_our_scores_equal_the_harnesss(
    found: dict[str, Any], folder: Path, small: Transformer, tokenizer: Tokenizer, name: str, engine: str
) -> None:
    asked, records = ours(folder, small, tokenizer, name)
    theirs = by_item(found[engine][name])
    same_scores(asked, records, theirs)
    if name == "arc_easy":
        assert [float(one.acc_norm) for one in records] == [one["acc_norm"] for one in theirs]


@pytest.mark.parametrize("name", ["mmlu_anatomy", "arc_easy"])
@pytest.mark.parametrize("engine", ["hf", "ours"])
def test_in_the_chat_template_too(found: dict[str, Any], folder: Path, name: str, engine: str) -> None:
    """With a system's message and examples as turns; special tokens are those of the template."""
    model, tokenizer = open_model(model_in(folder / "chat"))
    asked, records = ours(folder, model, tokenizer, name, chat=True)
    assert asked[0][0][0].startswith("<|user|>") and asked[0][0][0].endswith("<|end|><|assistant|>")
    assert asked[0][0][0].count("<|assistant|>") == SHOTS[name] + 1
    same_scores(asked, records, by_item(found["chat"][engine][name]))


def written(samples: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in by_item(samples["gsm8k"]) if one["filter"] == "flexible-extract"]


def test_generated_answers_equal_the_harnesss(
    found: dict[str, Any], folder: Path, small: Transformer, tokenizer: Tokenizer
) -> None:
    """Texts of 256 tokens by transformers' `generate` and by ours, and what is found in them."""
    asked, records = ours(folder, small, tokenizer, "gsm8k")
    items = TASKS["gsm8k"].read(folder / "gsm8k_test.jsonl")
    for engine in ("hf", "ours"):
        theirs = written(found[engine])
        assert [one["arguments"][0][0] for one in theirs] == [one[0][0] for one in asked]
        assert [one["resps"][0][0] for one in theirs] == [one.text for one in records]
        right = [flexible_extract(one.text, item.choices[0]) for one, item in zip(records, items, strict=True)]
        assert [bool(one["exact_match"]) for one in theirs] == right
    assert max(len(one.text) for one in records) > 100


@pytest.mark.parametrize("chat", [False, True])
def test_an_answer_ends_with_the_assistants_turn(found: dict[str, Any], folder: Path, chat: bool) -> None:
    """Of a fine-tuned model: what it would write behind `<|end|>` is no part of its answer, here as in the harness."""
    model, tokenizer = open_model(model_in(folder / "chat"))
    asked, records = ours(folder, model, tokenizer, "gsm8k", chat)
    for engine in ("hf", "ours"):
        theirs = written(found["chat" if chat else "plain"][engine])
        assert [one["arguments"][0][0] for one in theirs] == [one[0][0] for one in asked]
        assert [one["resps"][0][0] for one in theirs] == [one.text for one in records]
    if not chat:
        base = ModelTokenizer(folder / "hf" / "tokenizer.json")
        on = write_answers(model, base, [pair[0][0] for pair in asked])
        ended = [one.text for one, longer in zip(records, on, strict=True) if one.text != longer]
        halves = [one.text.rstrip("\ufffd") for one in records]  # a character that the next token would complete
        assert ended and all(longer.startswith(half) for half, longer in zip(halves, on, strict=True))


def test_rolling_log_likelihoods_equal_the_harnesss(found: dict[str, Any]) -> None:
    """Of texts that are longer than the context, and of one that is not."""
    np.testing.assert_allclose(found["rolling"]["ours"], found["rolling"]["hf"], rtol=1e-5)


def test_a_model_is_named_by_run_or_folder(folder: Path) -> None:
    from crawl2chat.evaluate.harness import CheckpointLM

    for arguments in ({}, {"run": "a", "folder": "b"}):
        with pytest.raises(InputError, match="give run or folder"):
            CheckpointLM(**arguments)


def test_requests_that_the_harness_keeps_depend_on_the_template(
    folder: Path, small: Transformer, tokenizer: Tokenizer
) -> None:
    from crawl2chat.evaluate.harness import CheckpointLM

    chatting, base = (CheckpointLM(folder=str(folder / name)) for name in ("chat", "hf"))
    assert chatting.tokenizer_name != base.tokenizer_name and chatting.chat_template() and not base.chat_template()
    for lm in (base, CheckpointLM.of(small, tokenizer)):
        with pytest.raises(InputError, match="no chat template"):
            lm.apply_chat_template([{"role": "user", "content": "What?"}])
