"""What checkpoints cost: the same steps without them, with them beside the training, and with the training waiting.

One process, one thread for training. The model, its AdamW state and the interval are large enough to be written in
earnest: 12 bytes a parameter.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from crawl2chat.core.settings_optimizer import Optimizer
from crawl2chat.core.settings_watching import Watching
from crawl2chat.model.config import ModelConfig
from crawl2chat.train.loader import TokenDataset
from crawl2chat.train.loop import Plan
from crawl2chat.train.metrics import read_metrics
from crawl2chat.train.worker import Job, run_training
from crawl2chat.train.world import World

VOCABULARY, STEPS, EVERY = 50_000, 52, 25  # the tokens of _loader.py


def checkpoint_figures(width: int = 128, rounds: int = 1) -> list[tuple[str, float, float, float]]:
    """For each way: name, seconds of the run, ratio to the run without checkpoints, share of time that stood still."""
    from _loader import write_shards

    found: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        job = _job(folder, write_shards(folder, files=1, tokens=1_000_000), width)
        for number in range(rounds):
            for way, every, beside in (("none", STEPS + 1, True), ("beside", EVERY, True), ("waiting", EVERY, False)):
                plan = replace(job.plan, checkpoint_every=every)
                one = replace(job, folder=folder / f"{way}-{number}", plan=plan, save_beside=beside)
                found.setdefault(way, []).append(_run(one))
    base = min(seconds for seconds, _ in found["none"])
    return [(way, best := min(s for s, _ in runs), best / base, min(s for _, s in runs)) for way, runs in found.items()]


def _run(job: Job) -> tuple[float, float]:
    """Seconds of the steps between the first and the last checkpoint, and the share of them that stood still."""
    run_training(job, World())
    rows = [row for row in read_metrics(job.folder) if "loss" in row][EVERY - 1 : -1]
    tokens = job.plan.batch * job.model.context * job.plan.log_every
    whole = [tokens / row["tokens_per_second"] / (1 - row["checkpoint_stall"]) for row in rows]
    still = sum(one * row["checkpoint_stall"] for one, row in zip(whole, rows, strict=True))
    return sum(whole), still / sum(whole)


def _job(folder: Path, shards: list[Path], width: int) -> Job:
    model = ModelConfig(
        vocab_size=VOCABULARY, layers=2, width=width, heads=4, kv_heads=4, feed_forward=3 * width, context=128
    )
    return Job(
        folder=folder,
        model=model,
        plan=Plan(steps=STEPS, batch=2, seed=1, log_every=1, validate_every=STEPS + 1),
        optimizer=Optimizer(),
        keep=1,
        open_data=partial(TokenDataset, shards, model.context),
        open_validation=None,
        token_bytes=np.ones(VOCABULARY, dtype=np.int32),
        tokenizer_digest="",
        data_digest="",
        recipe={},
        watching=Watching(tensorboard=False),
    )


if __name__ == "__main__":
    from _bench import print_table

    print_table(["checkpoints", "seconds", "ratio", "stood still"], checkpoint_figures())
