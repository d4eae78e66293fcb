"""Training rows of which the first come before the others are there: `shards.early`.

In the first epoch the rows of the early shards come first, then those of the other shards, each part in a keyed order
of its own; from the second epoch on all rows are one order (order.early_index). The others are opened when a batch
first asks for one of them, on the thread that makes batches ahead: it waits until the stage `shards` is finished. So
nothing that is learned depends on when that is.

Rows are cut within each part: row i of the others has the number rows of the first part + i.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np

from ..core.late import awaited
from ..core.manifest import Manifest
from ..core.settings_training import ShardCache
from .loader import Span, TokenDataset, TokenStream
from .order import early_index


@dataclass(frozen=True)
class Late:
    """The stage `shards`, which may be at work still: its folder and fingerprint; names of the files of the first part;
    the machine's cache of shards, if it has one."""

    folder: Path
    mark: str
    early: frozenset[str]
    cache: ShardCache | None = None

    def shards(self, manifest: Manifest) -> dict[Path, str]:
        """The others' training files, with their SHA-256."""
        mine = [entry for entry in manifest.files if entry.path.startswith("train/")]
        found = {self.folder / entry.path: entry.sha256 for entry in mine}
        return {path: digest for path, digest in found.items() if path.name not in self.early}


@dataclass(frozen=True)
class OpenEarly:
    """EarlyRows of these, for the process that reads them."""

    paths: Sequence[Path]
    late: Late
    context: int

    def __call__(self) -> EarlyRows:
        return EarlyRows(self.paths, self.late, self.context)

    def at(self, places: Mapping[Path, Path]) -> OpenEarly:
        """The same rows, the first of files that lie elsewhere, under their names."""
        return replace(self, paths=[places.get(path, path) for path in self.paths])


class EarlyRows:
    """Rows of the early shards, and behind them those of the others, which are waited for. `waits`: called then.

    Raises InputError when the early shards have not one row; StageError, later, when the others will not come.
    """

    def __init__(
        self, paths: Sequence[Path], late: Late, context: int, waits: Callable[[], None] = lambda: None
    ) -> None:
        self.first, self.context, self.waits = TokenDataset(paths, context), context, waits
        self._late, self._lock = late, RLock()  # batches are made on a thread, traced on another
        self._others: TokenDataset | None = None
        self._shards: dict[Path, str] | None = None
        self._cached: Any = None  # keeps the copies where they are

    def __len__(self) -> int:
        return len(self.first) + self._rows()

    def order(self, seed: int, position: np.ndarray) -> np.ndarray:
        """Rows for global positions."""
        return early_index(seed, position, len(self.first), self._rows)

    def reaches(self, position: int) -> bool:
        """Whether any of the first so many positions is behind the early rows."""
        return position > len(self.first)

    @property
    def opened(self) -> bool:
        """Whether the others are there and in use."""
        return self._shards is not None

    def late_shards(self) -> Mapping[Path, str]:
        """The others' files where they are read, with their SHA-256. Waits until they are there."""
        with self._lock:
            if self._shards is None:
                self._open()
            assert self._shards is not None
            return self._shards

    def batch(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        indices = np.asarray(indices, dtype=np.int64)
        inputs, targets = np.empty((2, len(indices), self.context), dtype=np.int64)
        early = indices < len(self.first)
        if early.any():
            inputs[early], targets[early] = self.first.batch(indices[early])
        if not early.all():
            inputs[~early], targets[~early] = self._rest().batch(indices[~early] - len(self.first))
        return inputs, targets

    def target_count(self, indices: np.ndarray) -> int:
        return len(indices) * self.context

    def trace(self, index: int) -> list[Span]:
        """The documents, and the tokens of them, that row `index` is made of."""
        first = len(self.first)
        return self.first.trace(index) if index < first else self._rest().trace(index - first)

    def _rows(self) -> int:
        self.late_shards()
        return len(self._others) if self._others is not None else 0

    def _rest(self) -> TokenDataset:
        assert self._rows(), "there are such rows"
        assert self._others is not None
        return self._others

    def _open(self) -> None:
        shards = self._late.shards(awaited(self._late.folder, self._late.mark, self.waits))
        if self._late.cache is not None:
            from .shard_cache import brought  # here: it imports this module

            self._cached, places = brought(self._late.cache, shards)
            shards = {places.get(path, path): digest for path, digest in shards.items()}
        if len(TokenStream(list(shards))) > self.context:
            self._others = TokenDataset(list(shards), self.context)
        self._shards = shards
