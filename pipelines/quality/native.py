"""All measures of a batch of texts: one float64 column each, and the texts as C4 leaves them.

Which columns there are, and what each is: core/settings_filters.py (Filters.measures).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...core.settings_filters import C4Quality, Filters, FineWebQuality, GopherRepetition
from . import surface
from .c4 import kept_lines
from .characters import DIGIT, UPPER, shares
from .columns import owners, totals
from .lexicon import Lexicon, Words
from .repetition import repeated_characters, top_characters

REPETITION = ("dup_para_frac", "dup_para_char_frac", "dup_line_frac", "dup_line_char_frac")
MARKS = ("hash_ratio", "ellipsis_ratio", "bullet_lines_ratio", "ellipsis_lines_ratio")
WORDS = ("word_count", "mean_word_length", "alpha_words_ratio", "stop_words")
C4 = ("c4_sentences", "c4_lorem_ipsum", "c4_curly_bracket")
FINEWEB = ("line_count", "line_punct_ratio", "short_line_ratio", "char_dup_ratio", "list_ratio")


@dataclass(frozen=True, slots=True)
class Measured:
    """Columns of the batch, and each text as it would be kept, with the number of lines that C4 took."""

    values: dict[str, np.ndarray]
    texts: list[str]
    lines_removed: list[int]


class Measures:
    """Measures batches with the recipe's settings. Holds the words that it met."""

    def __init__(self, settings: Filters) -> None:
        self._settings = settings
        self._lexicon = Lexicon()

    def of(self, texts: Sequence[str], languages: Sequence[str]) -> Measured:
        """Measure a batch; what is found of a text does not depend on the others."""
        settings = self._settings
        words = self._lexicon.read(texts, languages)
        lines = [[line.strip() for line in text.splitlines()] for text in texts]
        values = {**_named(REPETITION, [surface.repetition(text) for text in texts])}
        values |= self._repeated_runs(texts, words) | self._of_words(words)
        found = _named(MARKS, [surface.marks(*one) for one in zip(texts, lines, strict=True)])
        count = np.maximum(1, words.counts)
        values |= {name: found[name] / count if name in MARKS[:2] else found[name] for name in MARKS}
        left, word_counts = list(texts), words.counts.astype(np.float64)
        if settings.c4 is not None:
            of_c4, left, word_counts = self._after_c4(settings.c4, texts, lines, languages, words)
            values |= of_c4
        short = (settings.fineweb or FineWebQuality()).short_line_length
        found = _named(FINEWEB, [surface.fineweb(text, short) for text in left])
        found["list_ratio"] /= np.maximum(1, word_counts)
        values |= found
        values["characters"] = np.array([len(text) for text in texts], dtype=np.float64)
        values |= {"digit_share": shares(texts, DIGIT), "upper_share": shares(texts, UPPER)}
        for rule in settings.rules:
            if rule.pattern is not None:
                matches = re.compile(rule.pattern).findall
                values[rule.column] = np.array([len(matches(text)) for text in texts], dtype=np.float64)
        removed = [sum(map(bool, one)) - int(rest) for one, rest in zip(lines, found["line_count"], strict=True)]
        return Measured(values, left, removed)

    def _repeated_runs(self, texts: Sequence[str], words: Words) -> dict[str, np.ndarray]:
        wanted = self._settings.gopher_repetition or GopherRepetition()
        size = np.maximum(1, [len(text) for text in texts])
        tops = top_characters(words, self._lexicon, [n for n, _ in wanted.top_n_grams])
        again = repeated_characters(words, self._lexicon, [n for n, _ in wanted.dup_n_grams])
        return {f"top_{n}_gram": found / size for n, found in tops.items()} | {
            f"duplicated_{n}_n_grams": found / size for n, found in again.items()
        }

    def _of_words(self, words: Words) -> dict[str, np.ndarray]:
        lexicon, texts, owner = self._lexicon, len(words.counts), owners(words.counts)
        real = ~lexicon.symbol[words.ids]
        count = totals(owner, real, texts)
        stops = np.zeros(texts, dtype=np.uint8)
        np.bitwise_or.at(stops, owner, lexicon.stop[words.ids])
        return {
            "word_count": count,
            "mean_word_length": totals(owner, real * lexicon.lengths[words.ids], texts) / np.maximum(1, count),
            "alpha_words_ratio": totals(owner, lexicon.alpha[words.ids], texts) / np.maximum(1, words.counts),
            "stop_words": np.bitwise_count(stops).astype(np.float64),
        }

    def _after_c4(
        self, c4: C4Quality, texts: Sequence[str], lines: list[list[str]], languages: Sequence[str], words: Words
    ) -> tuple[dict[str, np.ndarray], list[str], np.ndarray]:
        """C4's columns, the texts that are left, and how many words each of these has."""
        kept = [kept_lines(of_text, text, c4) for text, of_text in zip(texts, lines, strict=True)]
        sentences, left = self._lexicon.read_lines([one.kept for one in kept], languages, words.whole)
        found = [sentences, [one.lorem_ipsum for one in kept], [one.curly_bracket for one in kept]]
        values: dict[str, np.ndarray] = {
            name: np.array(column, dtype=np.float64) for name, column in zip(C4, found, strict=True)
        }
        return values, ["\n".join(one.kept).strip() for one in kept], left


def _named(names: Sequence[str], rows: list[tuple[float, ...]]) -> dict[str, np.ndarray]:
    table = np.array(rows, dtype=np.float64).reshape(len(rows), len(names))
    return {name: table[:, place].copy() for place, name in enumerate(names)}
