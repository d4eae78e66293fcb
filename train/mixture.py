"""How much of each source training sees: rows of several sources, interleaved by the recipe's section `mixture`.

Each source is a stream of rows of its own. Position p of the order belongs to a source and is its k-th position, where
both follow from p alone: the sources take turns as evenly as whole numbers allow, so that any stretch of the order has
the shares of the whole to within a row or two, and `period` positions have them exactly. The k-th position of a source
is row sample_index(k) of it: the source's epochs, one after the other, are permutations each, however long they take.

    epochs     a period is a pass: round(epochs · rows) positions of each source
    weights    a period has the weights as whole numbers: {web: 0.7, wiki: 0.3} repeats after 10

Without a mixture the order is that of train/order.py over all rows, as if the sources were one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from hashlib import blake2b
from math import lcm
from pathlib import Path
from typing import Any

import numpy as np

from ..core.compiled import compiled
from ..core.errors import InputError
from ..core.settings_training import Mixture
from ..core.units import source_of
from .early import EarlyRows
from .loader import Span, TokenDataset, TokenStream, TrainData
from .order import sample_index


def open_rows(paths: Sequence[Path], context: int, mixture: Mixture | None) -> TokenDataset | MixedDataset:
    """The training rows of shard files. Raises InputError when there is not one row, of a source that is wanted."""
    return TokenDataset(paths, context) if mixture is None else MixedDataset(paths, context, mixture)


def row_numbers(data: TrainData, seed: int, position: np.ndarray) -> np.ndarray:
    """Rows of the data for global positions 0, 1, 2, …"""
    if isinstance(data, MixedDataset | EarlyRows):
        return data.order(seed, position)
    return sample_index(seed, position, len(data))


@dataclass(frozen=True)
class OpenRows:
    """`open_rows` of these, for the process that reads them."""

    paths: Sequence[Path]
    context: int
    mixture: Mixture | None

    def __call__(self) -> TokenDataset | MixedDataset:
        return open_rows(self.paths, self.context, self.mixture)

    def at(self, places: Mapping[Path, Path]) -> OpenRows:
        """The same rows, of files that lie elsewhere, under their names."""
        return replace(self, paths=[places.get(path, path) for path in self.paths])


class MixedDataset:
    """The sources' rows, numbered one source after the other by name; sources with 0 are left out."""

    def __init__(self, paths: Sequence[Path], context: int, mixture: Mixture) -> None:
        self.names = sorted(name for name, part in mixture.parts.items() if part)
        self.sources = [_open(name, paths, context) for name in self.names]
        self.context = context
        self.counts = counts(mixture, {name: len(data) for name, data in zip(self.names, self.sources, strict=True)})
        self._begins = np.cumsum([0, *(len(data) for data in self.sources)])

    def __len__(self) -> int:
        return int(self._begins[-1])

    @property
    def period(self) -> int:
        """Positions after which the sources' shares are exact."""
        return sum(self.counts)

    def order(self, seed: int, position: np.ndarray) -> np.ndarray:
        """Rows for global positions."""
        source, place = interleave(position, self.counts)
        rows = np.empty(len(source), dtype=np.int64)
        for number, (name, data) in enumerate(zip(self.names, self.sources, strict=True)):
            here = source == number
            rows[here] = self._begins[number] + sample_index(seed ^ _salt(name), place[here], len(data))
        return rows

    def source(self, index: int) -> str:
        """The source of a row."""
        return self.names[self._find(index)]

    def batch(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        indices = np.asarray(indices, dtype=np.int64)
        inputs, targets = np.empty((2, len(indices), self.context), dtype=np.int64)
        source = np.searchsorted(self._begins, indices, side="right") - 1
        for number, data in enumerate(self.sources):
            here = np.flatnonzero(source == number)
            if len(here):
                inputs[here], targets[here] = data.batch(indices[here] - self._begins[number])
        return inputs, targets

    def target_count(self, indices: np.ndarray) -> int:
        return len(indices) * self.context

    def trace(self, index: int) -> list[Span]:
        """The documents, and the tokens of them, that row `index` is made of."""
        number = self._find(index)
        return self.sources[number].trace(index - int(self._begins[number]))

    def _find(self, index: int) -> int:
        return int(np.searchsorted(self._begins, index, side="right")) - 1


def counts(mixture: Mixture, rows: dict[str, int]) -> list[int]:
    """Positions that each source has in a period, sources by name. `rows`: of the sources that are not left out."""
    parts = [Fraction(str(mixture.parts[name])) for name in sorted(rows)]
    if mixture.epochs is not None:
        return [max(1, round(part * rows[name])) for part, name in zip(parts, sorted(rows), strict=True)]
    common = lcm(*(part.denominator for part in parts))
    return [int(part * common) for part in parts]


def interleave(position: np.ndarray, counts: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """The source of each position, and how many positions of that source are before it.

    Of any p first positions, source 0 has the whole part of p · counts[0] / sum; the others share what it leaves in the
    same way, among themselves.
    """
    at = np.asarray(position, dtype=np.int64)
    total = sum(counts)
    if total * max(counts) >= 1 << 62:  # Python's integers, where 64 bits would overflow
        pairs = [_turn(one, counts, total) for one in at.tolist()]
        source, place = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
        return source, place
    source, place = np.empty((2, len(at)), dtype=np.int64)
    take_turns(at, np.array(counts, dtype=np.int64), total, source, place)
    return source, place


def _turn(at: Any, counts: Any, total: Any) -> Any:
    """Source and place of one position."""
    for number in range(len(counts) - 1):
        count = counts[number]
        before = at // total * count + at % total * count // total  # at · count / total, rounded down
        if (at + 1) // total * count + (at + 1) % total * count // total > before:
            return number, before
        at, total = at - before, total - count  # its place among what is left
    return len(counts) - 1, at


turn = compiled(_turn)


@compiled
def take_turns(position: Any, counts: Any, total: int, source: Any, place: Any) -> None:
    for at in range(len(position)):
        source[at], place[at] = turn(position[at], counts, total)


def _open(name: str, paths: Sequence[Path], context: int) -> TokenDataset:
    files = [path for path in paths if source_of(path.stem) == name]
    tokens = len(TokenStream(files))
    if tokens <= context:
        raise InputError(
            f"mixture: source {name} has {tokens} training tokens, too few for one row of model.context = {context}",
            f"give it more documents, or leave it out with {name}: 0",
        )
    return TokenDataset(files, context)


def _salt(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big") >> 1
