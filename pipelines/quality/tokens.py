"""What is read of a batch of texts: its words, and the chunks that these are from, with the lines they stand in."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .columns import spread
from .cutting import Cut


class Chunks(NamedTuple):
    """The chunks of a batch of texts, one after another."""

    rows: np.ndarray  # int64 [chunks], of the lexicon's chunks
    sizes: np.ndarray  # int64 [chunks], characters
    gap: np.ndarray  # bool [chunks]: more than one blank lies before it in its line
    first: np.ndarray  # bool [chunks]: first of its line
    counts: np.ndarray  # int64 [texts]

    @classmethod
    def of_cut(cls, found: Cut, rows: np.ndarray, texts: int) -> Chunks:
        """rows: of the chunks that were cut."""
        counts = np.bincount(found.owner, minlength=texts)
        return cls(rows, found.ends - found.starts, found.gap & ~found.first, found.first, counts)

    def of(self, places: np.ndarray) -> Chunks:
        """The chunks of some of the texts."""
        at = spread((np.cumsum(self.counts) - self.counts)[places], self.counts[places])
        return Chunks(self.rows[at], self.sizes[at], self.gap[at], self.first[at], self.counts[places])


class Words(NamedTuple):
    """The words of a batch of texts, one after another."""

    ids: np.ndarray  # int32 [words], rows of the lexicon's columns
    counts: np.ndarray  # int64 [texts]
    whole: np.ndarray  # bool [texts]: the words depend on more than the chunks
    chunks: Chunks

    def of(self, places: np.ndarray) -> Words:
        """The words of some of the texts."""
        ids = self.ids[spread((np.cumsum(self.counts) - self.counts)[places], self.counts[places])]
        return Words(ids, self.counts[places], self.whole[places], self.chunks.of(places))


class LineCounts(NamedTuple):
    """A row for each line that holds a chunk, of all texts, one after another."""

    owner: np.ndarray  # int64: which text it stands in
    chunks: np.ndarray  # how many, as str.split counts them
    longest: np.ndarray  # characters of the longest chunk
    sentences: np.ndarray  # of the line by itself
    words: np.ndarray
