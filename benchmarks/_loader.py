"""The loader alone: tokens a second from shards to the arrays that a model takes, order included, on one thread."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from crawl2chat.core.settings_training import Mixture
from crawl2chat.train.loader import TrainData
from crawl2chat.train.loop import Plan, batch_indices
from crawl2chat.train.mixture import open_rows
from crawl2chat.train.prefetch import rank_batch

FILES, TOKENS_A_FILE, DOCUMENT = 16, 4_000_000, 700
SOURCES = ("books", "web", "wiki")


def write_shards(folder: Path, files: int = FILES, tokens: int = TOKENS_A_FILE) -> list[Path]:
    """Shards of uint16 tokens of three sources, in the form of tokenize/shards.py."""
    rng = np.random.default_rng(0)
    paths = []
    for number in range(files):
        values = pa.array(rng.integers(0, 50_000, tokens, dtype=np.uint16))
        offsets = pa.array(np.append(np.arange(0, tokens, DOCUMENT), tokens), type=pa.int64())
        lists = pa.LargeListArray.from_arrays(offsets, values)
        ids = pa.array([f"{number}/{row}" for row in range(len(lists))])
        batch = pa.RecordBatch.from_arrays([ids, lists], names=["doc_id", "tokens"])
        paths.append(folder / f"{SOURCES[number % len(SOURCES)]}-{number:05d}.arrow")
        with pa.ipc.new_file(str(paths[-1]), batch.schema) as writer:
            writer.write_batch(batch)
    return paths


def tokens_per_second(data: TrainData, context: int, rows: int, seconds: float = 1.0) -> float:
    """Targets a second of batches of `rows` rows, made one after the other."""
    plan = Plan(steps=1 << 40, batch=rows, seed=1)

    def make(step: int) -> None:
        rank_batch(data, step, batch_indices(plan, step, data), rank=0, size=1)

    make(1)  # machine code is made, or read, once
    step, began = 2, time.perf_counter()
    while (now := time.perf_counter()) < began + seconds:
        make(step)
        step += 1
    return (step - 2) * rows * context / (now - began)


def loader_figures(seconds: float = 1.0) -> list[tuple[str, int, int, float, float]]:
    """For each setting: name, context, rows a batch, milliseconds to open the shards, tokens a second on one core.

    The first is the figure loader_tokens_per_s; shards are in the page cache, as after a first pass.
    """
    weights = Mixture(weights={"books": 0.2, "web": 0.5, "wiki": 0.3})
    settings = [(512, 16, None), (256, 16, None), (512, 16, weights), (64, 12, None)]
    found = []
    with tempfile.TemporaryDirectory() as folder:
        paths = write_shards(Path(folder))
        for context, rows, mixture in settings:
            began = time.perf_counter()
            data = open_rows(paths, context, mixture)
            opened = time.perf_counter() - began
            rate = tokens_per_second(data, context, rows, seconds)
            found.append(("mixture of three" if mixture else "one stream", context, rows, 1e3 * opened, rate))
    return found


if __name__ == "__main__":
    from _bench import print_table

    print_table(["order", "context", "rows a batch", "open, ms", "tokens/s"], loader_figures())
