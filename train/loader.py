"""Token shards as training rows, memory-mapped.

In: Arrow IPC files (tokenize/shards.py): `doc_id: string`, `tokens: large_list<uint16|uint32>`, one record batch each,
every document ending with the end-of-text id. Out: rows of context + 1 tokens, cut one after the other out of the
concatenated stream of the files in the order of their names.

Nothing is read at the start but footers: a row's place follows from its number, its files by binary search over their
lengths, its documents by binary search in the list offsets, all through the memory map. A batch goes straight from the
maps into the int64 arrays that the model takes (train/gather.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from ..core.errors import InputError
from ..core.remote_path import path_of
from ..tokenize.shards import read_shard
from .gather import copy_windows
from .order import keyed_permutation, sample_index

__all__ = [
    "IGNORED", "Span", "TokenDataset", "TokenStream", "TrainData", "keyed_permutation", "rows_of", "sample_index",
]  # fmt: skip

IGNORED = -100  # a target that no loss counts (torch's ignore_index)


class TrainData(Protocol):
    """What the loop trains on: numbered rows.

    Data may have `documents(indices)`, numbers for the model's `documents_BT` where rows hold several, and
    `weight(indices)`, what the loss of these rows is divided by where that is not `target_count`.
    """

    def __len__(self) -> int: ...

    def batch(self, indices: np.ndarray) -> tuple[np.ndarray, ...]:
        """Inputs and targets, int64 [n, at most context] each; targets hold IGNORED where no loss is counted. Behind
        them what the objective wants beside (train/objective.py)."""
        ...

    def target_count(self, indices: np.ndarray) -> int:
        """Number of targets in these rows that are counted."""
        ...


def rows_of(data: TrainData, indices: np.ndarray) -> tuple[np.ndarray, ...]:
    """What an objective takes of these rows: inputs, targets, and the documents' numbers where rows hold several."""
    documents = getattr(data, "documents", None)
    found = data.batch(indices)
    return found if documents is None else (*found, documents(indices))


@dataclass(frozen=True)
class Span:
    """Tokens start … stop - 1 of a document: `row` is its row in `file`."""

    file: str
    row: int
    doc_id: str
    start: int
    stop: int


class TokenStream:
    """The concatenated tokens of shard files, sorted by name. `len` is the number of tokens."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = sorted((path_of(path) for path in paths), key=lambda path: path.name)
        shards = [read_shard(path) for path in self.paths]
        self._doc_ids = [shard.doc_ids for shard in shards]
        self._offsets = [shard.offsets for shard in shards]
        self._values = [shard.tokens for shard in shards]
        lengths = [int(offsets[-1] - offsets[0]) for offsets in self._offsets]
        self._ends = np.cumsum(np.array(lengths, dtype=np.int64))
        kinds = {values.dtype for values in self._values} or {np.dtype(np.uint16)}
        if len(kinds) > 1:
            raise InputError(
                f"{self.paths[0].parent} has shards of the token types {sorted(map(str, kinds))}",
                "remove the stage `shards` of the run, and run it again",
            )
        self._kind = np.empty(0, dtype=kinds.pop())
        firsts = [values[offsets[0] :] for values, offsets in zip(self._values, self._offsets, strict=True)]
        self._addresses = np.array([one.ctypes.data for one in firsts], dtype=np.uint64)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def tokens(self, start: int, stop: int) -> np.ndarray:
        """Tokens start … stop - 1 of the stream, int64."""
        parts = [self._values[file][a:b] for file, a, b in self._pieces(start, stop)]
        return np.concatenate(parts).astype(np.int64) if parts else np.empty(0, dtype=np.int64)

    def windows(self, starts: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and targets, int64 [n, width] each: tokens start … start + width - 1, and the same one further on."""
        inputs, targets = np.empty((2, len(starts), width), dtype=np.int64)
        inside = copy_windows(self._addresses, self._ends, self._kind, starts, inputs, targets)
        assert inside, f"windows of {width + 1} tokens from {starts} in a stream of {len(self)}"
        return inputs, targets

    def spans(self, start: int, stop: int) -> list[Span]:
        """The pieces of documents that tokens start … stop - 1 are made of, in order."""
        found: list[Span] = []
        for file, a, b in self._pieces(start, stop):
            offsets = self._offsets[file]
            first = int(np.searchsorted(offsets, a, side="right")) - 1
            last = int(np.searchsorted(offsets, b, side="left"))
            for row in range(first, last):
                begin, end = int(offsets[row]), int(offsets[row + 1])
                if begin < end:
                    doc_id = self._doc_ids[file][row].as_py()
                    found.append(Span(self.paths[file].name, row, doc_id, max(a, begin) - begin, min(b, end) - begin))
        return found

    def _pieces(self, start: int, stop: int) -> list[tuple[int, int, int]]:
        """(file, first, end) places in the files' value buffers that hold tokens start … stop - 1."""
        assert 0 <= start <= stop <= len(self), f"tokens {start}…{stop} of a stream of {len(self)}"
        pieces = []
        file = int(np.searchsorted(self._ends, start, side="right"))
        while start < stop:
            offsets = self._offsets[file]
            shift = int(offsets[-1]) - int(self._ends[file])  # from a place in the stream to a place in the buffer
            end = min(stop, int(self._ends[file]))
            if start < end:
                pieces.append((file, start + shift, end + shift))
            start, file = end, file + 1
        return pieces


class TokenDataset:
    """Training rows of `context` inputs and as many targets: row i has tokens i · context … (i + 1) · context."""

    def __init__(self, paths: Sequence[Path], context: int) -> None:
        self.stream = TokenStream(paths)
        self.context = context
        if len(self) < 1:
            raise InputError(
                f"the training shards hold {len(self.stream)} tokens, too few for one row of model.context = {context}",
                "give more documents, or a smaller model.context",
            )

    def __len__(self) -> int:
        return max(0, (len(self.stream) - 1) // self.context)

    def batch(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.stream.windows(np.asarray(indices, dtype=np.int64) * self.context, self.context)

    def target_count(self, indices: np.ndarray) -> int:
        return len(indices) * self.context

    def trace(self, index: int) -> list[Span]:
        """The documents, and the tokens of them, that row `index` is made of."""
        return self.stream.spans(index * self.context, (index + 1) * self.context + 1)
