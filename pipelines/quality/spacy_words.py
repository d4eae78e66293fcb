"""Chunks to the words that spaCy makes of them: by spaCy's rules, or by spaCy itself, many chunks in one call."""

from __future__ import annotations

from itertools import chain, takewhile
from typing import Any

from spacy.attrs import ORTH

from ..words import RememberingSpaCy
from .spacy_rules import SpaCyRules

LONG = 300  # characters; shorter chunks are never too dear
DEAR = 200_000  # steps: some 20 ms of spaCy's time
BETWEEN = "\n"


class SpaCyWords:
    """One language's tokenizer. Words that hold a blank ("EE. UU.") are its exception: they are more than chunks."""

    def __init__(self, tokenizer: RememberingSpaCy) -> None:
        self._nlp = tokenizer.tokenizer
        self._rules = SpaCyRules(self._nlp)
        pairs = [parts for parts in (rule.split() for rule in self._rules.special) if len(parts) > 1]
        self._firsts, self._seconds = tuple({parts[0] for parts in pairs}), tuple({parts[1] for parts in pairs})

    def joins(self, chunk: str) -> int:
        """Bit 1: may end with the first part of a word with a blank; bit 2: may begin with the second."""
        return chunk.endswith(self._firsts) | chunk.startswith(self._seconds) << 1 if self._firsts else 0

    def of(self, chunks: list[str]) -> tuple[list[str], list[int]]:
        """The words of chunks, one after another, and how many each has: no list for each, which Python would track.

        A chunk that would take spaCy too long is one word, such as 20,000 brackets (a minute).
        """
        flat: list[str] = []
        counts: list[int] = []
        left: list[str] = []
        for one in chunks:
            words = [one] if len(one) > LONG and _steps(one) > DEAR else self._rules.cut(one)
            if words is None:
                left.append(one)
                counts.append(-1)
            else:
                flat += words
                counts.append(len(words))
        if not left:
            return flat, counts
        at, cut, by_spacy = 0, flat, iter(self._by_spacy(left))
        flat = []
        for place, count in enumerate(counts):
            words = next(by_spacy) if count < 0 else cut[at : at + count]
            at += max(0, count)
            flat += words
            counts[place] = len(words)
        return flat, counts

    def _by_spacy(self, chunks: list[str]) -> list[list[str]]:
        """All in one call; line feeds are words of their own to spaCy."""
        words: list[list[str]] = [[]]
        with self._nlp.memory_zone():
            tokens = self._nlp.tokenizer(BETWEEN.join(chunks))
            strings: Any = tokens.vocab.strings
            for number in tokens.to_array([ORTH]).tolist():
                if (text := strings[number]) == BETWEEN:
                    words.append([])
                else:
                    words[-1].append(text)
        return words


def _steps(chunk: str) -> int:
    """spaCy takes marks from both ends of a chunk one by one, and goes through what is left each time."""
    ends = (takewhile(lambda char: not char.isalnum(), order) for order in (chunk, reversed(chunk)))
    return len(chunk) * sum(1 for _ in chain.from_iterable(ends))
