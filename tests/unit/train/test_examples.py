from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from crawl2chat.core.errors import InputError
from crawl2chat.core.manifest import Manifest
from crawl2chat.core.progress import Progress
from crawl2chat.core.recipe import Recipe
from crawl2chat.core.run import Run
from crawl2chat.core.settings_parallel import Parallel
from crawl2chat.core.stage import StageContext
from crawl2chat.model.config import ModelConfig
from crawl2chat.tokenize.bpe import ASSISTANT, END, USER, Tokenizer
from crawl2chat.tokenize.chat_template import OwnTemplate
from crawl2chat.train.chat_examples import write_conversations
from crawl2chat.train.examples import ChatDataset, write_examples
from crawl2chat.train.finetune_data import prepare
from crawl2chat.train.finetune_stage import finetune_job
from crawl2chat.train.loader import IGNORED
from crawl2chat.train.loss import loss_sum
from crawl2chat.train.packed_chat import SingleChat
from crawl2chat.train.packing import TooLong
from crawl2chat.train.strategies import build
from crawl2chat.train.world import World
from torch._dynamo.utils import counters

CONTEXT = 40


def write(path: Path, pairs: list[tuple[str, str]]) -> Path:
    lines = [
        {"doc_id": f"d{i}", "messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]}
        for i, (q, a) in enumerate(pairs)
    ]
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    return path


def test_only_the_answer_and_its_end_are_targets(tmp_path: Path, tokenizer: Tokenizer) -> None:
    pairs = [("Who?", "She\u2028did."), ("Why so long?", "x" * 50), ("q" * 60, "never seen")]
    counts = write_examples(write(tmp_path / "p.jsonl", pairs), tmp_path / "e.arrow", tokenizer, CONTEXT)
    assert counts == {"examples": 2, "truncated": 2, "split": 0, "dropped": 1}
    data = ChatDataset(tmp_path / "e.arrow", CONTEXT)
    assert len(data) == 2 and data.doc_ids.to_pylist() == ["d0", "d1"]
    inputs, targets = data.batch(np.array([0, 1]))

    end, user, assistant = tokenizer.special(END), tokenizer.special(USER), tokenizer.special(ASSISTANT)
    question, answer = tokenizer.encode("Who?"), tokenizer.encode("She\u2028did.")
    tokens = [user, *question, end, assistant, *answer, end]
    assert inputs[0].tolist() == tokens[:-1] + [0] * (CONTEXT - len(tokens) + 1)
    silent = len(question) + 2  # up to the token before <|assistant|>: their successors are not the answer
    assert targets[0].tolist() == [IGNORED] * silent + [*answer, end] + [IGNORED] * (CONTEXT - silent - len(answer) - 1)

    short, _ = data.batch(np.array([0]))
    assert short.shape == (1, 32) and short[0].tolist() == inputs[0, :32].tolist()  # of 17, rounded up to 16s

    assert len(targets[1]) == CONTEXT and end not in targets[1].tolist()  # cut: it must not learn to stop there
    assert data.target_count(np.array([0, 1])) == int((targets != IGNORED).sum())
    assert data.target_count(np.array([1])) == int((targets[1] != IGNORED).sum())


@pytest.mark.parametrize("policy", list(TooLong), ids=lambda one: one.name.lower())
def test_the_policy_for_those_too_long(tmp_path: Path, tokenizer: Tokenizer, policy: TooLong) -> None:
    """They take as many rows as where the user's data are not packed, with the same targets."""
    fitting = CONTEXT + 1 - len("Who?") - 4  # with our three marks, and the end
    pairs = [("Who?", "She."), ("Who?", "x" * (fitting + 1)), ("Who?", "abcdefghij" * 9), ("q" * 60, "x")]
    pairs.append(("Who?", "y" * fitting))
    source = write(tmp_path / "p.jsonl", pairs)
    counts = write_examples(source, tmp_path / "e.arrow", tokenizer, CONTEXT, too_long=policy)
    expected = {"drop": (2, 0, 0, 3), "truncate": (4, 3, 0, 1), "split": (8, 0, 3, 0)}[policy.name.lower()]
    assert tuple(counts[name] for name in ("examples", "truncated", "split", "dropped")) == expected
    rows = ChatDataset(tmp_path / "e.arrow", CONTEXT)
    write_conversations([source], tmp_path / "c.arrow", OwnTemplate(tokenizer))
    theirs = SingleChat(tmp_path / "c.arrow", CONTEXT, policy)
    assert len(rows) == len(theirs) == counts["examples"]
    for mine, other in zip(rows.batch(np.arange(len(rows))), theirs.batch(np.arange(len(rows))), strict=True):
        assert mine.tolist() == other.tolist()
    if policy is TooLong.SPLIT:
        learned = sum(len(answer) + 1 for _, answer in pairs)
        assert rows.target_count(np.arange(len(rows))) == learned, "every learned token, once"


def test_a_compiled_model_is_compiled_once_for_conversations_of_any_length(
    tmp_path: Path, tokenizer: Tokenizer, small: ModelConfig
) -> None:
    pairs = [("Who?", "x" * length) for length in (1, 10, 20, 30)]
    write_examples(write(tmp_path / "p.jsonl", pairs), tmp_path / "e.arrow", tokenizer, CONTEXT)
    padded, whole = (ChatDataset(tmp_path / "e.arrow", CONTEXT, whole) for whole in (False, True))
    config = replace(small, vocab_size=tokenizer.vocab_size, context=CONTEXT)
    torch._dynamo.reset()
    counters.clear()
    plain, compiled = (build(config, 1, "fp32", World(), Parallel(compile=on)) for on in (False, True))
    for index in range(len(pairs)):
        narrow, wide = (data.batch(np.array([index])) for data in (padded, whole))
        assert wide[0].shape == (1, CONTEXT) and (index == 3 or narrow[0].shape < wide[0].shape)
        loss = loss_sum(compiled, *wide, "fp32", torch.device("cpu"))
        torch.testing.assert_close(loss, loss_sum(plain, *narrow, "fp32", torch.device("cpu")))
    assert counters["stats"]["unique_graphs"] == 1


@pytest.mark.parametrize("compiled", [False, True])
def test_the_stage_pads_to_the_context_where_the_model_is_compiled(
    tmp_path: Path, tokenizer: Tokenizer, small: ModelConfig, compiled: bool
) -> None:
    recipe = Recipe.model_validate(
        {
            "name": "tuned",
            "storage": str(tmp_path),
            "sources": [{"name": "play", "kind": "jsonl", "paths": ["unused.jsonl"]}],
            "resources": {"parallel": {"compile": compiled}},
        }
    )
    run, model = Run(recipe), replace(small, vocab_size=tokenizer.vocab_size, context=CONTEXT)
    facts = {"model": model.to_dict(), "checkpoint": "checkpoints/step_000001"}
    base = Manifest(
        stage="pretrain", version=1, config={"train": {"precision": "fp32"}}, fingerprint="f", inputs={}, files=[],
        counters={}, facts=facts, code_version="test", seconds=0.0,
    )  # fmt: skip
    for name in ("finetune", "instructions"):
        run.stage(name).mkdir(parents=True)
    for name in ("pairs", "pairs_validation"):
        write(run.stage("instructions") / f"{name}.jsonl", [("Who?", "x")])
    inputs = dict.fromkeys(("pretrain", "tokenizer", "instructions"), base)
    ctx = StageContext(run, run.stage("finetune"), inputs, Progress("test"))
    job = finetune_job(ctx, tokenizer, prepare(ctx, tokenizer, CONTEXT))
    assert job.open_validation is not None
    for data in (job.open_data(), job.open_validation()):
        assert isinstance(data, ChatDataset)
        assert data.batch(np.array([0]))[0].shape[1] == (CONTEXT if compiled else 16)


def test_a_bad_line_is_named(tmp_path: Path, tokenizer: Tokenizer) -> None:
    source = write(tmp_path / "p.jsonl", [("a", "b")])
    with source.open("a") as file:
        file.write('{"doc_id": "x", "messages": [{"role": "assistant", "content": "out of turn"}]}\n')
    with pytest.raises(InputError, match=r"p\.jsonl:2 .*turn"):
        write_examples(source, tmp_path / "e.arrow", tokenizer, CONTEXT)


def test_an_empty_file_gives_no_examples(tmp_path: Path, tokenizer: Tokenizer) -> None:
    (tmp_path / "p.jsonl").write_text("")
    assert write_examples(tmp_path / "p.jsonl", tmp_path / "e.arrow", tokenizer, CONTEXT)["examples"] == 0
    assert len(ChatDataset(tmp_path / "e.arrow", CONTEXT)) == 0
