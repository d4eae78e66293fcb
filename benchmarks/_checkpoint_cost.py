"""What checkpoints cost: the same steps without them, with them beside the training, and with the training waiting.

One process, one thread for training. Weights and AdamW's state take 12 bytes a parameter.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from _bench import print_table
from crawl2chat.core.settings_optimizer import Optimizer
from crawl2chat.core.settings_watching import Watching
from crawl2chat.model.config import ModelConfig
from crawl2chat.train.loader import TokenDataset
from crawl2chat.train.loop import Plan
from crawl2chat.train.metrics import read_metrics
from crawl2chat.train.worker import Job, run_training
from crawl2chat.train.world import World

VOCABULARY, STEPS, EVERY = 50_000, 52, 25  # the tokens of _loader.py


def measured(rounds: int) -> dict[str, float | None]:
    """Print the table; `checkpoint_cost` is what checkpoints beside the training add to the time without any."""
    from _loader import write_shards

    found: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        job = _job(folder, write_shards(folder, files=1, tokens=1_000_000))
        for number in range(rounds):
            for way, every, beside in (("none", STEPS + 1, True), ("beside", EVERY, True), ("waiting", EVERY, False)):
                plan = replace(job.plan, checkpoint_every=every)
                one = replace(job, folder=folder / f"{way}-{number}", plan=plan, save_beside=beside)
                found.setdefault(way, []).append(_run(one))
    best = {way: min(seconds for seconds, _ in runs) for way, runs in found.items()}
    rows = [
        (way, best[way], best[way] / best["none"], f"{min(still for _, still in runs):.2%}")
        for way, runs in found.items()
    ]
    megabytes = 12 * job.model.parameters() / 1e6
    print_table((f"checkpoints of {megabytes:.0f} MB every {EVERY} steps", "seconds", "ratio", "stood still"), rows)
    return {"checkpoint_cost": best["beside"] / best["none"] - 1}


def _run(job: Job) -> tuple[float, float]:
    """Seconds of the steps between the first and the last checkpoint, and the share of them that stood still."""
    run_training(job, World())
    rows = [row for row in read_metrics(job.folder) if "loss" in row][EVERY - 1 : -1]
    tokens = job.plan.batch * job.model.context * job.plan.log_every
    whole = [tokens / row["tokens_per_second"] / (1 - row["checkpoint_stall"]) for row in rows]
    still = sum(one * row["checkpoint_stall"] for one, row in zip(whole, rows, strict=True))
    return sum(whole), still / sum(whole)


def _job(folder: Path, shards: list[Path]) -> Job:
    model = ModelConfig(vocab_size=VOCABULARY, layers=4, width=128, heads=4, kv_heads=4, feed_forward=384, context=256)
    return Job(
        folder=folder,
        model=model,
        plan=Plan(steps=STEPS, batch=4, seed=1, log_every=1, validate_every=STEPS + 1),
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
    measured(rounds=1)
