"""Encoded preference pairs as an Arrow file, and as training rows, memory-mapped.

    source                        string               file:line
    prompt, chosen, rejected      large_list<int32>    ids; answers end with the token that ends a turn

The reference's log-probabilities stand in files of their own (train/reference.py), in the order of the pairs.

A row is a pair: inputs and targets are [2, T], the chosen answer first. T is that of a batch's longest row, rounded up.
Inputs hold every token, the last one too, at which a reward model looks; its target is not counted.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa

from ..core.files import atomic_path
from .examples import PAD_TO
from .loader import IGNORED, Span
from .preference_encoding import EncodedPair

SCHEMA = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        *(pa.field(name, pa.large_list(pa.int32()), nullable=False) for name in ("prompt", "chosen", "rejected")),
    ]
)


def write_pairs(target: Path, pairs: Sequence[tuple[str, EncodedPair]]) -> None:
    """(source, pair) each."""
    columns = {
        "source": [source for source, _ in pairs],
        **{name: [getattr(pair, name) for _, pair in pairs] for name in ("prompt", "chosen", "rejected")},
    }
    with atomic_path(target) as partial, pa.ipc.new_file(str(partial), SCHEMA) as writer:
        writer.write_batch(pa.RecordBatch.from_pydict(columns, schema=SCHEMA))


class PairRows:
    """Rows of a file of pairs; `whole`: as wide as this many tokens, for compiled models; `context`: never wider, for
    models that have no position behind it.

    reference: files with the columns chosen and rejected, one after the other those of all pairs.
    """

    def __init__(
        self, path: Path, reference: Sequence[Path] = (), whole: int | None = None, context: int | None = None
    ) -> None:
        batch = pa.ipc.open_file(pa.memory_map(os.fspath(path))).get_batch(0)
        self.file, self.sources, self._whole, self._context = path.name, batch.column("source"), whole, context
        lists = {name: cast(pa.LargeListArray, batch.column(name)) for name in ("prompt", "chosen", "rejected")}
        self._ids = {name: one.values.to_numpy() for name, one in lists.items()}
        self._offsets = {name: one.offsets.to_numpy() for name, one in lists.items()}
        self._lengths = {name: np.diff(one) for name, one in self._offsets.items()}
        self._reference_N2 = _read_reference(reference)
        assert not reference or len(self._reference_N2) == len(self), "a log-probability for each answer"

    def __len__(self) -> int:
        return len(self.sources)

    def batch(self, indices: np.ndarray) -> tuple[np.ndarray, ...]:
        """Inputs and targets, int64 [n, 2, T]; with a reference its log-probabilities, float64 [n, 2]."""
        indices = np.asarray(indices)
        longest = int(self._longest(indices).max())
        width = self._whole or -(-longest // PAD_TO) * PAD_TO
        width = min(width, self._context or width)
        inputs = np.zeros((len(indices), 2, width), dtype=np.int64)
        targets = np.full((len(indices), 2, width), IGNORED, dtype=np.int64)
        for row, index in enumerate(indices.tolist()):
            prompt = self._piece("prompt", index)
            for side, name in enumerate(("chosen", "rejected")):
                answer = self._piece(name, index)
                stop = len(prompt) + len(answer)
                inputs[row, side, : len(prompt)], inputs[row, side, len(prompt) : stop] = prompt, answer
                targets[row, side, len(prompt) - 1 : stop - 1] = answer
        return (inputs, targets, self._reference_N2[indices]) if len(self._reference_N2) else (inputs, targets)

    def target_count(self, indices: np.ndarray) -> int:
        """Tokens of the answers."""
        return int(sum(self._lengths[name][np.asarray(indices)].sum() for name in ("chosen", "rejected")))

    def weight(self, indices: np.ndarray) -> int:
        """Pairs: what the loss is a mean over."""
        return len(indices)

    def trace(self, index: int) -> list[Span]:
        """Where a pair stands in the user's files."""
        return [Span(self.file, index, self.sources[index].as_py(), 0, int(self._longest(np.array([index]))[0]))]

    def _longest(self, indices: np.ndarray) -> np.ndarray:
        answers = np.maximum(self._lengths["chosen"][indices], self._lengths["rejected"][indices])
        return self._lengths["prompt"][indices] + answers

    def _piece(self, name: str, index: int) -> np.ndarray:
        offsets = self._offsets[name]
        return self._ids[name][offsets[index] : offsets[index + 1]]


def _read_reference(paths: Sequence[Path]) -> np.ndarray:
    """float64 [pairs, 2]."""
    found = [np.empty((0, 2))]
    for path in paths:
        batch = pa.ipc.open_file(pa.memory_map(os.fspath(path))).get_batch(0)
        found.append(np.stack([batch.column(name).to_numpy() for name in ("chosen", "rejected")], axis=1))
    return np.concatenate(found)
