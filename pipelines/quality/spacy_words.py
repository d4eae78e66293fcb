"""Chunks to words by spaCy itself, many chunks in one call."""

from __future__ import annotations

import re
from itertools import chain, takewhile
from typing import Any

from spacy.attrs import ORTH

from ..words import QUIRK, RememberingSpaCy
from .patterns import needs_more_than_letters

LONG = 300  # characters; shorter chunks are never too dear
DEAR = 200_000  # steps: some 20 ms of spaCy's time
BETWEEN = "\n"


class SpaCyWords:
    """One language's tokenizer. Words that hold a blank ("EE. UU.") are its exception: they are more than chunks."""

    def __init__(self, tokenizer: RememberingSpaCy) -> None:
        self._tokenizer = tokenizer
        self._spacy = tokenizer.tokenizer.tokenizer
        self._rules = frozenset(self._spacy.rules or ())
        pairs = [parts for parts in (rule.split() for rule in self._rules) if len(parts) > 1]
        self._firsts, self._seconds = tuple({parts[0] for parts in pairs}), tuple({parts[1] for parts in pairs})
        cutting = (self._spacy.prefix_search, self._spacy.suffix_search, self._spacy.infix_finditer)
        self._leaves_letters = all(search is None or _needs_more_than_letters(search) for search in cutting)

    def joins(self, chunk: str) -> int:
        """Bit 1: may end with the first part of a word with a blank; bit 2: may begin with the second."""
        return chunk.endswith(self._firsts) | chunk.startswith(self._seconds) << 1

    def of(self, chunks: list[str]) -> list[list[str]]:
        """The words of each chunk."""
        apart = [one for one in chunks if not self._is_word(one)]
        found = iter(self._cut(apart) if apart else ())
        return [[one] if self._is_word(one) else next(found) for one in chunks]

    def _is_word(self, chunk: str) -> bool:
        """Whether spaCy would leave a chunk as it is: letters alone, where no rule or pattern cuts between letters.

        And so we leave what would take spaCy too long, such as twenty thousand brackets in a row (a minute).
        """
        if len(chunk) > LONG and _steps(chunk) > DEAR:
            return True
        return self._leaves_letters and chunk.isalpha() and chunk not in self._rules

    def _cut(self, chunks: list[str]) -> list[list[str]]:
        """All in one call; line feeds are words of their own to spaCy."""
        pieces = [chunk.replace(QUIRK, "") for chunk in chunks]
        words: list[list[str]] = [[]]
        with self._tokenizer.tokenizer.memory_zone():
            tokens = self._spacy(BETWEEN.join(filter(None, pieces)))
            strings: Any = tokens.vocab.strings
            for number in tokens.to_array([ORTH]).tolist():
                if (text := strings[number]) == BETWEEN:
                    words.append([])
                else:
                    words[-1].append(text)
        found = iter(words)
        return [next(found) if piece else [] for piece in pieces]


def _steps(chunk: str) -> int:
    """spaCy takes marks from both ends of a chunk one by one, and goes through what is left each time."""
    ends = (takewhile(lambda char: not char.isalnum(), order) for order in (chunk, reversed(chunk)))
    return len(chunk) * sum(1 for _ in chain.from_iterable(ends))


def _needs_more_than_letters(search: object) -> bool:
    """Whether the method of a compiled pattern, as spaCy holds it, matches nothing in letters alone."""
    pattern = getattr(search, "__self__", None)
    return isinstance(pattern, re.Pattern) and needs_more_than_letters(pattern)
