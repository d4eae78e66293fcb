"""The index of evaluation sets: which runs of words stand in which items.

Built once (decontaminate_build.py), memory-mapped by every worker:

    index/items.arrow     ITEM, in the order of the sets and their rows: an item is known by its row here
    index/hashes.npy      uint64, sorted: the hashes of all runs
    index/first.npy       int64: the entries of hashes[i] are first[i] … first[i + 1] - 1
    index/entries.npy     ENTRY: a place in a layout of an item
    index/filter.npy      bool, a Bloom filter (Bloom 1970) of two bits a hash: for most words of documents this is all
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..dedup.tables import read_arrow
from .decontaminate_layouts import layouts, words_in_items
from .decontaminate_words import SPELLINGS, spelled

NAMES = ("hashes", "first", "entries", "filter")
ITEM = pa.schema(
    [
        pa.field("set", pa.string(), nullable=False),
        pa.field("number", pa.int64(), nullable=False),  # of its row
        pa.field("parts", pa.list_(pa.string()), nullable=False),
        pa.field("question_chars", pa.int64(), nullable=False),  # that runs cover, of the first part
        pa.field("chars", pa.int64(), nullable=False),  # and of all parts; 0: no run, so that it cannot be looked for
    ]
)
ENTRY = np.dtype([("item", "<i4"), ("form", "<i4"), ("word", "<i4"), ("size", "<i4")])  # form: layout and spelling


class Index:
    """The index, memory-mapped."""

    def __init__(self, folder: Path) -> None:
        self._hashes, self._first, self.entries, self._filter = (
            np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r")) for name in NAMES
        )
        self.items = read_arrow(folder / "items.arrow")
        self.parts = lru_cache(maxsize=4096)(self._parts)
        self.lengths = sorted(set(np.unique(self.entries["size"]).tolist()))

    def find(self, hashes: np.ndarray) -> Iterator[tuple[int, int]]:
        """(place in `hashes`, place in the index) of those that the index has."""
        first, second = filter_bits(hashes, len(self._filter))
        likely = np.flatnonzero(self._filter[first])
        likely = likely[self._filter[second[likely]]]
        if len(likely) and len(self._hashes):
            place = np.minimum(np.searchsorted(self._hashes, hashes[likely]), len(self._hashes) - 1)
            same = self._hashes[place] == hashes[likely]
            yield from zip(likely[same].tolist(), place[same].tolist(), strict=True)

    def entries_of(self, run: int) -> np.ndarray:
        return self.entries[int(self._first[run]) : int(self._first[run + 1])]

    def _parts(self, item: int) -> tuple[str, ...]:
        return tuple(self.items["parts"][item].as_py())


def filter_bits(hashes: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The two places of each hash in a filter of this size: its first and its last bits."""
    width = size.bit_length() - 1
    return (hashes >> np.uint64(64 - width)).astype(np.int64), (hashes & np.uint64(size - 1)).astype(np.int64)


def cover(mask: np.ndarray, item: tuple[str, ...], form: int, word: int, size: int) -> None:
    """Mark the item's characters that the words `word` … `word + size - 1` of a form of it stand for."""
    _, starts, stops = form_of(item, form)
    for number in range(word, word + size):
        if starts[number] >= 0:
            mask[starts[number] : stops[number]] = True


@lru_cache(maxsize=4096)
def form_of(item: tuple[str, ...], form: int) -> tuple[list[str], list[int], list[int]]:
    """The words of a layout of an item in a spelling, and their first and last characters in the item."""
    layout, spelling = divmod(form, len(SPELLINGS))
    chosen = layouts(list(item))[layout]
    _, starts, stops = words_in_items([chosen], spelling)
    return spelled(chosen.text, spelling), starts.tolist(), stops.tolist()
