"""What one spaCy tokenizer makes of chunks, the runs of non-blanks of a text: tokenised once, then looked up."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import chain, count, islice

import numpy as np

from ..words import RememberingSpaCy
from .columns import Column, spread

LONG = 20_000  # characters; a longer chunk counts as one word: spaCy's time grows with the square of a chunk's length
GAP = "\n"  # stands for white space that spaCy makes a token of: all but a single blank
BLANK_RUNS = re.compile(r"(\s+)")


class Chunks:
    """Chunk → row, row → words (rows of the lexicon)."""

    def __init__(self, tokenizer: RememberingSpaCy) -> None:
        self._tokenizer = tokenizer
        rules = [rule.split() for rule in getattr(tokenizer.tokenizer.tokenizer, "rules", {})]
        self._firsts = tuple({parts[0] for parts in rules if len(parts) > 1})
        self._seconds = tuple({parts[1] for parts in rules if len(parts) > 1})
        self._rows: defaultdict[str, int] = defaultdict(count().__next__)
        self.starts, self.counts, self.words = Column(np.int64), Column(np.int64), Column(np.int32)
        self.gap, self._first, self._second = Column(np.bool_), Column(np.bool_), Column(np.bool_)

    def __len__(self) -> int:
        return len(self._rows)

    def look_up(self, chunks: Iterable[str], ids: Callable[[Iterable[str]], np.ndarray]) -> np.ndarray:
        """Rows of chunks. New ones are tokenised; `ids` gives the words' rows in the lexicon."""
        known = len(self._rows)
        rows = np.fromiter(map(self._rows.__getitem__, chunks), dtype=np.int64)
        if new := len(self._rows) - known:
            self._learn(list(islice(reversed(self._rows), new))[::-1], ids)
        return rows

    def words_of(self, rows: np.ndarray) -> np.ndarray:
        """The words of chunks, one after another."""
        return self.words[spread(self.starts[rows], self.counts[rows])]

    def hold_blanks(self, rows: np.ndarray) -> bool:
        """Whether consecutive chunks may be parts of one word that holds a blank."""
        return bool(self._firsts) and bool(np.any(self._first[rows[:-1]] & self._second[rows[1:]]))

    def with_gaps(self, line: str) -> list[str]:
        """The chunks of a line, with GAP where spaCy makes white space a token: it swallows a blank behind a chunk."""
        chunks = line.split()
        if " ".join(chunks) == line:
            return chunks
        found: list[str] = []
        for place, piece in enumerate(BLANK_RUNS.split(line)):  # chunk, blanks, chunk, …; empty where there is none
            if place % 2 == 0:
                found += [piece] if piece else []
            elif piece != " " or not found:
                found.append(GAP)
        return found

    def _learn(self, chunks: list[str], ids: Callable[[Iterable[str]], np.ndarray]) -> None:
        found = self._tokenise(chunks)
        counts = np.fromiter(map(len, found), dtype=np.int64, count=len(found))
        self.starts.extend(len(self.words) + np.cumsum(counts) - counts)
        self.counts.extend(counts)
        self.words.extend(ids(chain.from_iterable(found)))
        self.gap.extend(np.array([chunk == GAP for chunk in chunks]))
        self._first.extend(np.array([chunk.endswith(self._firsts) for chunk in chunks]))
        self._second.extend(np.array([chunk.startswith(self._seconds) for chunk in chunks]))

    def _tokenise(self, chunks: list[str]) -> list[list[str]]:
        """The words of each chunk: all in one call of spaCy, with line feeds between them."""
        short = {chunk: None for chunk in chunks if chunk != GAP and len(chunk) <= LONG}
        try:
            with self._tokenizer.tokenizer.memory_zone():
                tokens = [token.text for token in self._tokenizer.tokenizer.tokenizer(GAP.join(short))]
        except Exception:  # spaCy trips over a few words, such as IS_ALPHA: datatrove cuts them out then
            return [self._tokenizer.word_tokenize(one) if one in short else [one] for one in chunks]
        words: list[list[str]] = [[]]
        for token in tokens:
            if token == GAP:
                words.append([])
            else:
                words[-1].append(token)
        found = iter(words)
        return [next(found) if one in short else [one] for one in chunks]
