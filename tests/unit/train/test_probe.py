"""Tasks scored while a model is trained (evaluate/while_training.py): the right figures, and no bit of it changed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from crawl2chat.core.settings_evaluate import Evaluate
from crawl2chat.core.settings_parallel import Parallel
from crawl2chat.evaluate.asking import askings, askings_while_training, read_questions
from crawl2chat.evaluate.figures import figures
from crawl2chat.evaluate.scoring import score_asked
from crawl2chat.evaluate.while_training import TaskProbe
from crawl2chat.tokenize.bpe import Tokenizer
from crawl2chat.tokenize.train import train_tokenizer
from crawl2chat.train import checkpoints
from crawl2chat.train.job import Job
from crawl2chat.train.metrics import read_metrics
from crawl2chat.train.watch import without_figures
from crawl2chat.train.worker import run_training
from crawl2chat.train.world import World

from .ranks import on_ranks

WORDS = ["sour", "short", "long", "an acid", "so", "it"]


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(train_tokenizer([["What is an acid? It is sour, short, long, so it is."] * 4], 330))
    return path


@pytest.fixture
def section(tmp_path: Path) -> Evaluate:
    folder = tmp_path / "data" / "eval-tasks"
    folder.mkdir(parents=True)
    rows = [
        {"goal": f"What is {n}?", "sol1": WORDS[n % 6], "sol2": WORDS[(n + 1) % 6], "label": n % 2} for n in range(13)
    ]
    (folder / "piqa_val.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    during = {"every": 7, "limit": 11}
    return Evaluate.model_validate({"tasks": ["piqa"], "data": str(tmp_path / "data"), "while_training": during})


@pytest.fixture
def plain(job: Job, tokenizer: Path) -> Job:
    size = Tokenizer.load(tokenizer).vocab_size
    plan = replace(job.plan, log_every=1)
    return replace(
        job, model=replace(job.model, vocab_size=size), token_bytes=np.full(size, 2, dtype=np.int32), plan=plan
    )


def probed(job: Job, name: str, section: Evaluate, tokenizer: Path, **changes: Any) -> Job:
    during = section.while_training
    assert during is not None
    probe = TaskProbe(tuple(askings_while_training(section)), str(tokenizer), 256)
    plan = replace(job.plan, probe_every=during.every)
    return replace(job, folder=job.folder.parent / name, plan=plan, probe=probe, **changes)


def one_rank(world: World, job: Job) -> None:
    run_training(job, world)


def course(job: Job) -> list[dict[str, Any]]:
    """Everything that training itself put out."""
    return [
        without_figures(row) for row in read_metrics(job.folder) if not any(name.startswith("eval/") for name in row)
    ]


def looks(job: Job) -> list[dict[str, Any]]:
    return [row for row in read_metrics(job.folder) if any(name.startswith("eval/") for name in row)]


def weights(job: Job) -> dict[str, torch.Tensor]:
    path = checkpoints.newest(job.checkpoints)
    assert path is not None
    return checkpoints.load_for_inference(path)[0].state_dict()


def assert_same_bits(job: Job, other: Job) -> None:
    assert course(job) == course(other)
    for name, tensor in weights(job).items():
        assert torch.equal(tensor, weights(other)[name]), name


@pytest.mark.parametrize(("document_begin", "first"), [(None, False), (0, False), (None, True)])
def test_training_is_the_same_to_the_bit_with_and_without(
    plain: Job, section: Evaluate, tokenizer: Path, document_begin: int | None, first: bool
) -> None:
    plain = replace(plain, document_begin=document_begin, validate_first=first)
    watched = probed(plain, "watched", section, tokenizer)
    for job in (plain, watched):
        run_training(job, World())
    assert_same_bits(plain, watched)
    assert not looks(plain) and [row["step"] for row in looks(watched)] == [*([0] if first else []), 7, 14, 20]


def test_a_run_that_goes_on_has_one_look_before_its_first_step(plain: Job, section: Evaluate, tokenizer: Path) -> None:
    """The model of step 0 is gone then: what it knew stays among the metrics."""
    watched = probed(plain, "watched", section, tokenizer, validate_first=True)
    half = replace(watched, plan=replace(watched.plan, steps=14))
    for job in (half, watched):
        run_training(job, World())
    found = looks(watched)
    assert [row["step"] for row in found] == [0, 7, 14, 20]
    assert found[0]["eval/piqa/bits_per_byte"] != found[1]["eval/piqa/bits_per_byte"]


def test_the_figures_are_those_of_the_checkpoint(plain: Job, section: Evaluate, tokenizer: Path) -> None:
    watched = probed(plain, "watched", section, tokenizer)
    run_training(watched, World())
    path = checkpoints.newest(watched.checkpoints)
    assert path is not None
    model, _ = checkpoints.load_for_inference(path)
    [asking] = askings(section.model_copy(update={"limit": 11}))
    questions = read_questions(asking)
    records = score_asked(model, Tokenizer.load(tokenizer), questions.task, questions.part(0, 11))
    wanted = figures(questions.task, questions.items, records)
    last = looks(watched)[-1]
    assert last.keys() == {"step", *(f"eval/piqa/{name}" for name in (*wanted, "items", "chance"))}
    assert (last["eval/piqa/items"], last["eval/piqa/chance"]) == (11, 0.5)
    for name, one in wanted.items():
        assert last[f"eval/piqa/{name}"] == pytest.approx(one.value, rel=1e-5)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    shown = EventAccumulator(str(watched.folder / "tensorboard")).Reload()
    assert [one.step for one in shown.Scalars("eval/piqa/acc")] == [7, 14, 20]


@pytest.mark.slow
def test_ranks_share_the_items_or_score_them_all(plain: Job, section: Evaluate, tokenizer: Path) -> None:
    """DDP and FSDP on two ranks: bits as without, figures as of one process."""
    alone = probed(plain, "alone", section, tokenizer)
    run_training(alone, World())
    jobs: list[tuple[Job, Job]] = []
    for name, parallel in (("ddp", Parallel(strategy="ddp")), ("fsdp", Parallel(strategy="fsdp"))):
        without = replace(plain, folder=plain.folder.parent / name, parallel=parallel, unit_parameters=1)
        jobs.append((without, probed(without, f"{name}_watched", section, tokenizer)))
    on_ranks(*((2, one_rank, (job,)) for pair in jobs for job in pair))
    for without, watched in jobs:
        assert_same_bits(without, watched)
        for mine, theirs in zip(looks(alone), looks(watched), strict=True):
            assert mine["eval/piqa/bits_per_byte"] == pytest.approx(theirs["eval/piqa/bits_per_byte"], rel=1e-4)


def test_an_error_in_it_reaches_every_rank(plain: Job, section: Evaluate, tokenizer: Path, tmp_path: Path) -> None:
    """A choice that is longer than the context: the training ends with its name."""
    from crawl2chat.core.errors import InputError

    long = {"goal": "Which?", "sol1": "It is " + "so long, " * 30, "sol2": "it", "label": 0}
    (tmp_path / "data/eval-tasks/piqa_val.jsonl").write_text(json.dumps(long) + "\n")
    with pytest.raises(InputError, match="the model's context 16"):
        run_training(probed(plain, "watched", section, tokenizer), World())
