"""Does a model stop? The share of held-out prompts whose answer ends by itself, within a number of tokens."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import torch

from ..model.generation import generate
from .checkpoints import load_for_inference


def held_out_prompts(path: Path, number: int, context: int) -> list[list[int]]:
    """The ids before the first answer of at most `number` conversations, evenly chosen among those that leave room.

    `path`: an Arrow file of train/examples.py's columns.
    """
    batch = pa.ipc.open_file(pa.memory_map(os.fspath(path))).get_batch(0)
    tokens = cast(pa.LargeListArray, batch.column("tokens"))
    learned = cast(pa.LargeListArray, batch.column("answer")).values.to_numpy(zero_copy_only=False)
    ids, offsets = tokens.values.to_numpy(), tokens.offsets.to_numpy()
    fitting = []
    for start, stop in pairwise(offsets.tolist()):
        first = np.flatnonzero(learned[start:stop])
        if len(first) and 0 < first[0] < context:
            fitting.append((start, start + int(first[0])))
    chosen = np.unique(np.linspace(0, len(fitting) - 1, min(number, len(fitting))).astype(int))
    return [ids[slice(*fitting[one])].tolist() for one in chosen]


def count_ended(
    checkpoint: Path,
    prompts: list[list[int]],
    end: int,
    max_tokens: int,
    temperature: float = 0.0,
    top_p: float | None = None,
    seed: int = 0,
) -> int:
    """How many of the prompts the model answers with an end, before `max_tokens` and the context.

    Greedily, at temperature 0, a small model may say the same again and again; drawn as a chat draws, it does not.
    """
    model, _ = load_for_inference(checkpoint)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    ended = 0
    for number, prompt in enumerate(prompts, seed):
        most = min(max_tokens, model.config.context - len(prompt) + 1)
        drawn = generate(
            model, prompt, max_tokens=most, temperature=temperature, top_p=top_p, stop_ids=[end], seed=number
        )
        ended += sum(1 for _ in drawn) < most
    return ended
