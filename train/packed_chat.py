"""Packed conversations as training rows, memory-mapped: those of an Arrow file of train/examples.py's columns.

Beside inputs and targets a batch has the numbers of the conversations, for the model's `documents_BT`: each is attended
on its own, with positions from 0. Padding, at the end of a row, has the number 0 and targets that no loss counts.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa

from .examples import PAD_TO
from .loader import IGNORED, Span
from .packing import TooLong, pack


class PackedChat:
    """Rows of `context` inputs and targets. `packing` says which conversations share a row, and what was left out."""

    def __init__(self, path: Path, context: int, too_long: TooLong, apart: bool = False) -> None:
        batch = pa.ipc.open_file(pa.memory_map(os.fspath(path))).get_batch(0)
        tokens = cast(pa.LargeListArray, batch.column("tokens"))
        answer = cast(pa.LargeListArray, batch.column("answer"))
        self.file, self.doc_ids, self.context = path.name, batch.column("doc_id"), context
        self._tokens = tokens.values.to_numpy()
        self._answer = answer.values.to_numpy(zero_copy_only=False)
        self._offsets = tokens.offsets.to_numpy()
        self.packing = pack(self._offsets, self._answer, context, too_long, apart)

    def __len__(self) -> int:
        return len(self.packing.rows) - 1

    def batch(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and targets, int64 [n, context] each; see `documents`."""
        source, place, _ = self._places(np.asarray(indices))
        inputs = np.zeros((len(indices), self.context), dtype=np.int64)
        targets = np.full((len(indices), self.context), IGNORED, dtype=np.int64)
        inputs.reshape(-1)[place] = self._tokens[source]
        targets.reshape(-1)[place] = np.where(self._answer[source + 1], self._tokens[source + 1], IGNORED)
        return inputs, targets

    def documents(self, indices: np.ndarray) -> np.ndarray:
        """documents_BT, int64 [n, context]: 1, 2, … in each row, 0 for padding."""
        _, place, number = self._places(np.asarray(indices))
        documents = np.zeros((len(indices), self.context), dtype=np.int64)
        documents.reshape(-1)[place] = number
        return documents

    def target_count(self, indices: np.ndarray) -> int:
        source, _, _ = self._places(np.asarray(indices))
        return int(self._answer[source + 1].sum())

    def trace(self, index: int) -> list[Span]:
        """The pieces of conversations in a row."""
        packing = self.packing
        return [
            Span(self.file, one, self.doc_ids[one].as_py(), start - first, stop - first)
            for one, start, stop, first in (
                (number, int(packing.starts[p]), int(packing.stops[p]), int(self._offsets[number]))
                for p in range(int(packing.rows[index]), int(packing.rows[index + 1]))
                for number in (int(packing.conversation[p]),)
            )
        ]

    def _places(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For each input token of these rows: where it is read, where it goes in the flat batch, and its document."""
        packing = self.packing
        pieces = packing.rows[indices + 1] - packing.rows[indices]
        piece = _ranges(packing.rows[indices], pieces)
        lengths = packing.stops[piece] - packing.starts[piece] - 1
        source = _ranges(packing.starts[piece], lengths)
        number = np.repeat(_ranges(np.ones_like(pieces), pieces), lengths)
        row = np.repeat(np.repeat(np.arange(len(indices)), pieces), lengths)
        filled = np.bincount(row, minlength=len(indices))
        return source, _ranges(np.arange(len(indices)) * self.context, filled), number


class SingleChat:
    """The same conversations one a row, as wide as the longest of a batch, rounded up; `whole`: as the context."""

    def __init__(self, path: Path, context: int, too_long: TooLong, whole: bool = False) -> None:
        self._rows, self._whole = PackedChat(path, context, too_long, apart=True), whole
        self.packing, self.trace, self.target_count = self._rows.packing, self._rows.trace, self._rows.target_count

    def __len__(self) -> int:
        return len(self._rows)

    def batch(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        inputs, targets = self._rows.batch(indices)
        if self._whole:
            return inputs, targets
        longest = int((self.packing.stops - self.packing.starts)[np.asarray(indices)].max()) - 1  # a piece a row
        width = min(inputs.shape[1], -(-longest // PAD_TO) * PAD_TO)
        return inputs[:, :width], targets[:, :width]


def open_chat(path: Path, context: int, too_long: TooLong, packing: bool, whole: bool) -> PackedChat | SingleChat:
    return PackedChat(path, context, too_long) if packing else SingleChat(path, context, too_long, whole)


def _ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """starts[0], starts[0] + 1, … of lengths[0], then those of the next: one after the other, int64."""
    ends = np.cumsum(lengths)
    return np.arange(int(lengths.sum())) + np.repeat(starts - (ends - lengths), lengths)
