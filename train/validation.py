"""The loss on held-out text: every validation token exactly once, in nats per token and in bits per byte of UTF-8.

Bits per byte do not depend on the tokenizer's vocabulary. An end-of-text token costs bits and stands for no byte.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..core.units import source_of
from .loader import IGNORED, TokenStream, TrainData, rows_of
from .loss import loss_sum
from .world import World


class ValidationTokens:
    """All tokens of validation shards as targets: row i has the tokens i · context … of the stream as its targets.

    The first input is the end-of-text token, which stands before every document; the last row is filled up with
    targets that do not count.
    """

    def __init__(self, paths: Sequence[Path], context: int, end_of_text: int) -> None:
        self.stream = TokenStream(paths)
        self.context, self.end_of_text = context, end_of_text

    def __len__(self) -> int:
        return -(-len(self.stream) // self.context)

    def batch(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        inputs = np.full((len(indices), self.context), self.end_of_text, dtype=np.int64)
        targets = np.full((len(indices), self.context), IGNORED, dtype=np.int64)
        for row, index in enumerate(indices.tolist()):
            start = index * self.context
            tokens = self.stream.tokens(start, min(start + self.context, len(self.stream)))
            targets[row, : len(tokens)] = tokens
            inputs[row, 1 : len(tokens)] = tokens[:-1]
            if start:
                inputs[row, :1] = self.stream.tokens(start - 1, start)
        return inputs, targets

    def target_count(self, indices: np.ndarray) -> int:
        starts = np.asarray(indices) * self.context
        return int(np.minimum(self.context, len(self.stream) - starts).sum())


def validation_by_source(paths: Sequence[Path], context: int, end_of_text: int) -> dict[str, ValidationTokens]:
    """The sources' validation shards, each as a stream of its own; sources without a token are left out."""
    names = sorted({source_of(path.stem) for path in paths})
    streams = {
        name: ValidationTokens([path for path in paths if source_of(path.stem) == name], context, end_of_text)
        for name in names
    }
    return {name: data for name, data in streams.items() if len(data)}


def validate(
    model: nn.Module,
    data: TrainData | Mapping[str, TrainData],
    token_bytes: np.ndarray,
    rows_a_forward: int,
    precision: str,
    world: World,
) -> dict[str, float]:
    """{validation_loss, bits_per_byte} over all rows of `data`, the same on every rank.

    Of several sources, over the rows of all, and bits_per_byte/NAME of each.
    """
    parts = data if isinstance(data, Mapping) else {"": data}
    model.eval()
    sums = [_sums(model, part, token_bytes, rows_a_forward, precision, world) for part in parts.values()]
    found = world.sum(torch.stack(sums))
    model.train()
    nats, tokens, text_bytes = found.sum(0).tolist()
    result = {"validation_loss": nats / tokens, "bits_per_byte": _bits_per_byte(nats, text_bytes)}
    if len(parts) > 1:
        for name, (nats, _, text_bytes) in zip(parts, found.tolist(), strict=True):
            result[f"bits_per_byte/{name}"] = _bits_per_byte(nats, text_bytes)
    return result


def _bits_per_byte(nats: float, text_bytes: float) -> float:
    return nats / math.log(2) / max(1.0, text_bytes)


def rank_rows(data: TrainData, rows: int, world: World) -> Iterator[tuple[np.ndarray, ...]]:
    """This rank's share of all rows, `rows` at a time: inputs, targets and what is beside.

    Every rank gets the same number of them, as sharded models demand: spare places are rows whose targets do not count.
    """
    forwards = -(-len(data) // (world.size * rows))
    first = world.rank * forwards * rows
    for start in range(first, first + forwards * rows, rows):
        wanted = np.arange(start, start + rows)
        inputs, targets, *beside = rows_of(data, np.minimum(wanted, len(data) - 1))
        spare = (wanted >= len(data)).reshape(-1, *[1] * (targets.ndim - 1))
        yield (inputs, np.where(spare, IGNORED, targets), *beside)


@torch.no_grad()
def _sums(
    model: nn.Module, data: TrainData, token_bytes: np.ndarray, rows_a_forward: int, precision: str, world: World
) -> torch.Tensor:
    """Nats, tokens and bytes of this rank's share of the rows, float64 [3]."""
    sums = torch.zeros(3, dtype=torch.float64, device=world.device)
    for inputs, targets, *documents in rank_rows(data, rows_a_forward, world):
        counted = targets[targets != IGNORED]
        nats = loss_sum(model, inputs, targets, precision, world.device, *documents).double()
        sums += torch.stack((nats, nats.new_tensor(counted.size), nats.new_tensor(int(token_bytes[counted].sum()))))
    return sums
