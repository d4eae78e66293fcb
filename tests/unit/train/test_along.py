"""What the model writes on its way: what its checkpoints write, and nothing that the training would notice."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from crawl2chat.core.settings_parallel import Parallel
from crawl2chat.core.settings_watching import Watching
from crawl2chat.model.generation import generate
from crawl2chat.tokenize.bpe import Tokenizer
from crawl2chat.tokenize.train import train_tokenizer
from crawl2chat.train import checkpoints
from crawl2chat.train.along import Along, cut_samples
from crawl2chat.train.course import read_course
from crawl2chat.train.job import Job
from crawl2chat.train.metrics import read_metrics
from crawl2chat.train.watch import without_figures
from crawl2chat.train.worker import run_training
from crawl2chat.train.world import World

from .ranks import on_ranks

PROMPTS = ("The boats", "A", "")


@pytest.fixture
def writing(job: Job) -> Job:
    """A job whose model has the vocabulary of a real tokenizer."""
    tokenizer = Tokenizer(train_tokenizer([["The boats lay still at the quay, and the town was quiet."] * 3], 290))
    model = replace(job.model, vocab_size=tokenizer.vocab_size)
    along = Along(PROMPTS, tokenizer, model.context)
    sizes = np.ones(tokenizer.vocab_size, dtype=np.int32)
    return replace(job, model=model, token_bytes=sizes, along=along, watching=Watching(tensorboard=False))


def written(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "samples.jsonl").read_text("utf-8").splitlines()]


def greedily(job: Job) -> list[str]:
    """How the last checkpoint continues the prompts, by the code that chats."""
    path = checkpoints.newest(job.checkpoints)
    assert path is not None and job.along is not None
    model, _ = checkpoints.load_for_inference(path)
    tokenizer, room = job.along.tokenizer, model.config.context // 2
    end = (tokenizer.end_of_text,)
    asked = [[tokenizer.end_of_text, *tokenizer.encode(prompt)][-room:] for prompt in PROMPTS]
    return [tokenizer.decode(list(generate(model, ids, max_tokens=room, temperature=0, stop_ids=end))) for ids in asked]


def losses_and_weights(job: Job) -> tuple[list[dict[str, Any]], dict[str, torch.Tensor]]:
    path = checkpoints.newest(job.checkpoints)
    assert path is not None
    rows = [without_figures(row) for row in read_metrics(job.folder)]
    return rows, checkpoints.load_for_inference(path)[0].state_dict()


def test_it_is_what_the_checkpoint_writes_and_changes_nothing(writing: Job, tmp_path: Path) -> None:
    silent = replace(writing, along=None, folder=tmp_path / "silent")
    run_training(silent, World())
    run_training(writing, World())
    rows = written(writing.folder)
    assert [(row["step"], row["prompt"]) for row in rows] == [(step, one) for step in (10, 20) for one in PROMPTS]
    assert [row["text"] for row in rows[3:]] == greedily(writing)
    (metrics, weights), (wanted, other) = losses_and_weights(writing), losses_and_weights(silent)
    assert metrics == wanted
    assert all(torch.equal(tensor, other[name]) for name, tensor in weights.items())
    assert not (silent.folder / "samples.jsonl").exists()


def train(world: World, job: Job) -> None:
    run_training(job, world)


@pytest.mark.slow
def test_ranks_that_share_a_model_write_it_once(writing: Job, tmp_path: Path) -> None:
    jobs = [
        replace(
            writing, folder=tmp_path / name, parallel=Parallel.model_validate({"strategy": name}), unit_parameters=1
        )
        for name in ("fsdp", "ddp")
    ]
    on_ranks(*((2, train, (job,)) for job in jobs))
    for job in jobs:
        rows = written(job.folder)
        assert len(rows) == 2 * len(PROMPTS) and [row["text"] for row in rows[3:]] == greedily(job)
        starts = [line for line in read_course(job.folder) if line["what"] == "start"]
        assert [(line["step"], line["ranks"]) for line in starts] == [(0, 2)]


def test_a_run_that_goes_on_writes_again_what_came_behind_its_checkpoint(tmp_path: Path) -> None:
    lines = [json.dumps({"step": step, "prompt": "é", "text": "x"}, ensure_ascii=False) for step in (10, 20, 30)]
    path = tmp_path / "samples.jsonl"
    path.write_text("\n".join([*lines, '{"step": 31']), encoding="utf-8")
    cut_samples(tmp_path, 20)
    assert path.read_text("utf-8").splitlines() == lines[:2]
    cut_samples(tmp_path, 0)
    assert path.read_text() == ""
