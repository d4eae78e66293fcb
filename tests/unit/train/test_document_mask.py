"""Training within documents: the loss of a packed row is that of its documents, each read alone."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from crawl2chat.model.config import ModelConfig
from crawl2chat.train.job import Job
from crawl2chat.train.loader import IGNORED, TokenDataset
from crawl2chat.train.loop import batch_indices
from crawl2chat.train.loss import loss_sum
from crawl2chat.train.metrics import read_metrics
from crawl2chat.train.strategies import build
from crawl2chat.train.worker import run_training
from crawl2chat.train.world import World

from .ranks import on_ranks

CPU = torch.device("cpu")


def apart(inputs: np.ndarray, targets: np.ndarray, end_of_text: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Each document of the rows as a row of its own; it begins with the end-of-text token before it."""
    found = []
    for row, aims in zip(inputs, targets, strict=True):
        borders = [0, *np.flatnonzero(row == end_of_text).tolist(), len(row)]
        found += [(row[None, a:b], aims[None, a:b]) for a, b in pairwise(borders) if a < b]
    return found


def test_a_packed_row_costs_what_its_documents_cost(shards: list[Path], small: ModelConfig) -> None:
    data = TokenDataset(shards, small.context)
    inputs, targets = data.batch(np.arange(len(data)))
    documents = apart(inputs, targets, 0)
    assert len(documents) > len(inputs) + 20  # most rows hold several
    model = build(small, 3, "fp32", World())
    with torch.no_grad():
        across = loss_sum(model, inputs, targets, "fp32", CPU)
        model.document_begin = 0
        within = loss_sum(model, inputs, targets, "fp32", CPU)
        alone = sum(loss_sum(model, *document, "fp32", CPU) for document in documents)
    torch.testing.assert_close(within, alone, rtol=1e-6, atol=0)
    assert abs(float(across - within)) > 1e-3
    assert not (targets == IGNORED).any()


def course(job: Job) -> list[float]:
    return [row["loss"] for row in read_metrics(job.folder) if "loss" in row]


def one_rank(world: World, job: Job) -> None:
    run_training(job, world)


@pytest.mark.slow
def test_a_run_keeps_to_documents_on_any_number_of_ranks(job: Job, tmp_path: Path) -> None:
    masked = replace(job, folder=tmp_path / "one", document_begin=0, plan=replace(job.plan, log_every=1))
    run_training(masked, World())
    model = build(job.model, job.plan.seed, "fp32", World())
    data = job.open_data()
    inputs, targets = data.batch(batch_indices(job.plan, 1, data))
    with torch.no_grad():
        alone = sum(loss_sum(model, *document, "fp32", CPU) for document in apart(inputs, targets, 0))
    assert course(masked)[0] == pytest.approx(float(alone) / targets.size, rel=1e-6)
    two = replace(masked, folder=tmp_path / "two", unit_parameters=1)
    on_ranks((2, one_rank, (two,)))
    assert course(two) == pytest.approx(course(masked), rel=1e-5)
