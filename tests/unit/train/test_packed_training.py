"""Conversations in the training loop: packed or one a row they cost what each costs alone, and are resumed exactly."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from crawl2chat.core.settings_parallel import Parallel
from crawl2chat.tokenize.bpe import Tokenizer
from crawl2chat.tokenize.chat_template import OwnTemplate
from crawl2chat.train.chat_examples import write_conversations, write_split
from crawl2chat.train.chat_rejects import Tally
from crawl2chat.train.checkpoints import load_for_inference, newest
from crawl2chat.train.examples import PAD_TO, ChatDataset
from crawl2chat.train.job import Job
from crawl2chat.train.loader import rows_of
from crawl2chat.train.metrics import read_metrics
from crawl2chat.train.packed_chat import PackedChat, SingleChat, open_chat
from crawl2chat.train.packing import TooLong
from crawl2chat.train.strategies import build
from crawl2chat.train.watch import without_figures
from crawl2chat.train.worker import run_training
from crawl2chat.train.world import World

from .ranks import on_ranks

CONTEXT = 48


@pytest.fixture
def chats(tmp_path: Path) -> Path:
    rows = [{"prompt": "q" * (n % 7 + 1) + "?", "response": "ab " * (n % 5 + 1)} for n in range(40)]
    (tmp_path / "chats.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "chats.jsonl"


@pytest.fixture
def packed_job(job: Job, chats: Path, chatting: Tokenizer, tmp_path: Path) -> Job:
    examples = tmp_path / "examples.arrow"
    write_conversations([chats], examples, OwnTemplate(chatting))
    opened = partial(PackedChat, examples, CONTEXT, TooLong.DROP)
    return replace(
        job,
        model=replace(job.model, vocab_size=chatting.vocab_size, context=CONTEXT),
        token_bytes=chatting.token_bytes(),
        open_data=opened,
        open_validation=opened,
        validate_first=True,
        plan=replace(job.plan, batch=4, steps=12, checkpoint_every=4, log_every=1),
    )


def rows(job: Job) -> list[dict[str, Any]]:
    return [without_figures(row) for row in read_metrics(job.folder)]


def test_the_loss_is_that_of_each_conversation_alone(packed_job: Job, chats: Path, chatting: Tokenizer) -> None:
    run_training(packed_job, World())
    model = build(packed_job.model, packed_job.plan.seed, "fp32", World())
    nats, counted = 0.0, 0
    for line in chats.read_text().splitlines():
        row = json.loads(line)
        turns = [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["response"]}]
        ids, learned = OwnTemplate(chatting).encode(turns)
        targets = torch.tensor(ids[1:]).masked_fill(~torch.tensor(learned[1:]), -100)
        with torch.no_grad():
            logits = model(torch.tensor([ids[:-1]]))[0]
        nats += F.cross_entropy(logits, targets, ignore_index=-100, reduction="sum").item()
        counted += sum(learned[1:])
    first, *_, last = (row for row in rows(packed_job) if "validation_loss" in row)
    assert first["validation_loss"] == pytest.approx(nats / counted, rel=1e-5)
    assert last["validation_loss"] < 0.8 * first["validation_loss"]
    assert packed_job.open_data().target_count(np.arange(len(packed_job.open_data()))) == counted


def test_a_packed_run_resumes_with_the_same_bits(packed_job: Job, tmp_path: Path) -> None:
    run_training(packed_job, World())
    stopped = replace(packed_job, folder=tmp_path / "stopped")

    def stop(checkpoint: Path, row: dict[str, Any]) -> None:
        raise KeyError(checkpoint.name)

    with pytest.raises(KeyError, match="step_000004"):
        run_training(stopped, World(), stop)
    assert run_training(stopped, World()) == 4
    assert rows(stopped) == rows(packed_job)
    ends = [newest(one.checkpoints) for one in (packed_job, stopped)]
    assert ends[0] is not None and ends[1] is not None
    mine, theirs = (load_for_inference(path)[0].state_dict() for path in ends if path)
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def one_rank(world: World, job: Job) -> None:
    run_training(job, world)


@pytest.mark.slow
def test_two_workers_see_the_same_documents(packed_job: Job, tmp_path: Path) -> None:
    run_training(packed_job, World())
    others = [replace(packed_job, folder=tmp_path / name, parallel=Parallel(strategy=name)) for name in ("fsdp", "ddp")]
    on_ranks(*((2, one_rank, (other,)) for other in others))
    for other in others:
        for mine, theirs in zip(rows(packed_job), rows(other), strict=True):
            assert all(mine[key] == pytest.approx(theirs[key], rel=1e-4) for key in mine), (mine, theirs)


def test_one_a_row_is_as_wide_as_a_batch_needs(packed_job: Job, chatting: Tokenizer) -> None:
    path = packed_job.open_data.args[0]  # type: ignore[attr-defined]
    single, old = SingleChat(path, CONTEXT, TooLong.DROP), ChatDataset(path, CONTEXT)
    every = np.arange(len(single))
    assert len(single) == len(old) == 40 and single.target_count(every) == old.target_count(every)
    for indices in (np.array([3]), np.array([0, 1, 39])):
        for mine, theirs in zip(rows_of(single, indices), old.batch(indices), strict=True):
            assert np.array_equal(mine, theirs) and mine.shape[1] % PAD_TO == 0 and mine.shape[1] < CONTEXT
    assert SingleChat(path, CONTEXT, TooLong.DROP, whole=True).batch(every)[0].shape == (40, CONTEXT)
    packed = open_chat(path, CONTEXT, TooLong.DROP, packing=True, whole=False)
    assert len(rows_of(packed, np.array([0]))) == 3 and len(packed) < 20
    assert [span.doc_id for span in single.trace(2)] == ["chats.jsonl:3"]


def test_a_question_never_stands_on_both_sides(tmp_path: Path, chatting: Tokenizer) -> None:
    rows = [{"prompt": f"question {n % 50}", "response": f"answer {n}"} for n in range(200)]
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "own.jsonl").write_text(json.dumps(rows[0]) + "\n")
    tally = Tally()
    apart = ([tmp_path / "own.jsonl"], [tmp_path / "own.jsonl"])
    template = OwnTemplate(chatting)
    found = write_split([tmp_path / "c.jsonl"], tmp_path / "e", template, tally, 0.2, apart=apart)
    assert found["train"] + found["validation"] == tally.conversations == 202 and found["validation"] % 4 == 1
    sides = {}
    for side in found:
        ids = PackedChat(tmp_path / "e" / f"{side}.arrow", 64, TooLong.DROP).doc_ids.to_pylist()
        assert len(ids) == found[side] and ids[0] == "own.jsonl:1"
        sides[side] = {(int(one.rpartition(":")[2]) - 1) % 50 for one in ids[1:]}
    assert not sides["train"] & sides["validation"] and len(sides["validation"]) > 2
