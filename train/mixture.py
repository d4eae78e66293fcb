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

from collections.abc import Sequence
from fractions import Fraction
from hashlib import blake2b
from math import lcm
from pathlib import Path

import numpy as np

from ..core.errors import InputError
from ..core.settings_training import Mixture
from ..core.units import source_of
from .loader import Span, TokenDataset, TokenStream, TrainData
from .order import sample_index


def open_rows(paths: Sequence[Path], context: int, mixture: Mixture | None) -> TokenDataset | MixedDataset:
    """The training rows of shard files. Raises InputError when there is not one row, of a source that is wanted."""
    return TokenDataset(paths, context) if mixture is None else MixedDataset(paths, context, mixture)


def row_numbers(data: TrainData, seed: int, position: np.ndarray) -> np.ndarray:
    """Rows of the data for global positions 0, 1, 2, …"""
    return data.order(seed, position) if isinstance(data, MixedDataset) else sample_index(seed, position, len(data))


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
        rows = np.empty((len(indices), self.context + 1), dtype=np.int64)
        for at, index in enumerate(np.asarray(indices).tolist()):
            number = self._find(index)
            rows[at] = self.sources[number].rows(np.array([index - self._begins[number]]))[0]
        return rows[:, :-1], rows[:, 1:]

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
    total = sum(counts)
    exact = object if total * max(counts) >= 1 << 62 else np.int64  # Python's integers, where 64 bits would overflow
    at = np.asarray(position, dtype=np.int64).astype(exact)
    source = np.full(len(at), len(counts) - 1, dtype=np.int64)
    place = np.zeros(len(at), dtype=np.int64)
    open_ = np.ones(len(at), dtype=bool)
    for number, count in enumerate(counts[:-1]):
        before = _whole_part(at, count, total)
        mine = open_ & np.asarray(_whole_part(at + 1, count, total) > before, dtype=bool)
        source[mine], place[mine] = number, before[mine]
        open_ &= ~mine
        at, total = at - before, total - count  # of those that are still open: their place among what is left
    place[open_] = at[open_]
    return source, place


def _whole_part(at: np.ndarray, count: int, total: int) -> np.ndarray:
    """at · count / total, rounded down."""
    periods, rest = at // total, at % total
    return periods * count + rest * count // total


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
