"""The measures of a batch of texts, one float64 column each, and the texts as C4 leaves them.

Which columns there are, and what each is: core/settings_filters.py (MEASURES, Filters.measures).

Measuring goes in steps, in the order of the rules. Where the measures are stored, every text takes every step;
otherwise a text that broke a rule is left out of the steps behind it, as with datatrove.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from ...core.compiled import compiled
from ...core.settings_filters import Filters, FineWebQuality, GopherRepetition
from . import surface
from .c4 import remains
from .characters import DIGIT, UPPER, shares
from .lexicon import Lexicon, lexicon
from .repetition import repeated_characters, top_characters
from .rules import Rule, custom_rules, first_broken, rules_of
from .tokens import Words

GROUP = 1 << 19  # characters that are worked on at a time: enough that NumPy's calls cost little, some 50 MB of arrays
Columns = dict[str, np.ndarray]


@dataclass(slots=True)
class Group:
    """Texts on their way through the steps, and what was found. Columns have a row for each text, NaN: not measured."""

    texts: list[str]
    languages: list[str]
    values: Columns = field(default_factory=dict)
    broken: list[Rule | None] = field(default_factory=list)  # the first rule that each text breaks
    lines: dict[int, list[str]] = field(default_factory=dict)  # of a text, stripped
    left: list[str] = field(default_factory=list)  # the text that each leaves
    removed: list[int] = field(default_factory=list)  # lines that C4 took from it
    here: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))  # texts that take the next step
    words: Words | None = None  # of these

    def __post_init__(self) -> None:
        self.here = np.arange(len(self.texts))
        self.broken, self.left, self.removed = [None] * len(self.texts), list(self.texts), [0] * len(self.texts)

    def of(self, column: list[str]) -> list[str]:
        """The entries of the texts that are here."""
        return [column[place] for place in self.here.tolist()]

    def ask(self, rules: Sequence[Rule]) -> None:
        """Note which texts break one of the rules, unless they broke one before."""
        columns = {rule.measure: self.values[rule.measure][self.here] for rule in rules}
        for place, number in zip(
            self.here.tolist(), first_broken(rules, columns, len(self.here)).tolist(), strict=True
        ):
            if number >= 0 and self.broken[place] is None:
                self.broken[place] = rules[number]

    def dismiss(self) -> None:
        """Leave out the texts that broke a rule."""
        stays = np.array([self.broken[place] is None for place in self.here.tolist()], dtype=np.bool_)
        if not stays.all():
            self.here = self.here[stays]
            self.words = self.words.of(np.flatnonzero(stays)) if self.words is not None else None


class Measures:
    """Measures batches with the recipe's settings."""

    def __init__(self, settings: Filters, rules: Sequence[Rule] | None = None, words: Lexicon | None = None) -> None:
        """rules: those that are asked, all of the settings if left out; words: the process's, if left out."""
        self._settings = settings
        self._rules = [*rules_of(settings), *custom_rules(settings)] if rules is None else list(rules)
        self._lexicon = lexicon() if words is None else words
        runs = settings.gopher_repetition or GopherRepetition()
        self._tops = sorted({n for n, _ in runs.top_n_grams})
        self._again = sorted({n for n, _ in runs.dup_n_grams})

    def of(self, texts: Sequence[str], languages: Sequence[str]) -> list[Group]:
        """Measure a batch, group by group; what is found of a text does not depend on the others."""
        return [self._measured(list(texts[a:b]), list(languages[a:b])) for a, b in _groups(texts)]

    def _measured(self, texts: list[str], languages: list[str]) -> Group:
        group = Group(texts, languages)
        asked = 0
        for columns in self._steps(group):
            for name, column in columns.items():
                group.values.setdefault(name, np.full(len(texts), np.nan))[group.here] = column
            ready = asked
            while ready < len(self._rules) and self._rules[ready].measure in group.values:
                ready += 1
            group.ask(self._rules[asked:ready])
            asked = ready
            if not self._settings.scores:
                group.dismiss()
                if not len(group.here) or (asked == len(self._rules) and "line_count" in group.values):
                    break
        return group

    def _steps(self, group: Group) -> Iterator[Columns]:
        """Each step's columns for the texts that are here when it is taken."""
        texts = group.of(group.texts)
        yield {**surface.repetition(texts), "characters": np.array([len(text) for text in texts], dtype=np.float64)}

        group.words = self._lexicon.read(group.of(group.texts), group.of(group.languages))
        first = len(self._again) if self._settings.scores else 1  # most texts that repeat do so in the shortest runs
        for sizes, measure, name in (
            (self._tops, top_characters, "top_{}_gram"),
            (self._again[:first], repeated_characters, "duplicated_{}_n_grams"),
            (self._again[first:], repeated_characters, "duplicated_{}_n_grams"),
        ):
            size = np.maximum(1, [len(text) for text in group.of(group.texts)])
            yield {name.format(n): found / size for n, found in measure(group.words, self._lexicon, sizes).items()}

        texts = group.of(group.texts)
        group.lines = {
            place: [line.strip() for line in text.splitlines()]
            for place, text in zip(group.here.tolist(), texts, strict=True)
        }
        yield {**surface.marks(texts, group.words.counts), **self._of_words(group.words)}

        yield self._after_c4(group, group.words)

        texts = group.of(group.texts)
        patterns = [
            (rule.column, re.compile(rule.pattern)) for rule in self._settings.rules if rule.pattern is not None
        ]
        digits, capitals = shares(texts, (DIGIT, UPPER))
        yield {
            "digit_share": digits,
            "upper_share": capitals,
            **{name: np.array([len(one.findall(text)) for text in texts]) for name, one in patterns},
        }

    def _of_words(self, words: Words) -> Columns:
        known = self._lexicon
        columns = (known.lengths.filled, known.symbol.filled, known.alpha.filled, known.stop.filled)
        count, characters, alpha, stops = _word_counts(words.ids, words.counts, *columns)
        return {
            "word_count": count,
            "mean_word_length": characters / np.maximum(1, count),
            "alpha_words_ratio": alpha / np.maximum(1, words.counts),
            "stop_words": np.bitwise_count(stops).astype(np.float64),
        }

    def _after_c4(self, group: Group, words: Words) -> Columns:
        """C4's columns, and FineWeb's on the texts that C4 leaves."""
        found: Columns = {}
        counts = words.counts
        if (c4 := self._settings.c4) is not None:
            texts = group.of(group.texts)
            split = [group.lines[place] for place in group.here.tolist()]
            rest = remains(texts, group.of(group.languages), split, words, self._lexicon, c4)
            for place, one, lines in zip(group.here.tolist(), rest.lines, split, strict=True):
                group.left[place] = "\n".join(one.kept).strip()
                group.removed[place] = sum(map(bool, lines))
            counts = rest.words
            found = {
                "c4_sentences": rest.sentences,
                "c4_lorem_ipsum": np.array([one.lorem_ipsum for one in rest.lines]),
                "c4_curly_bracket": np.array([one.curly_bracket for one in rest.lines]),
            }
        short = (self._settings.fineweb or FineWebQuality()).short_line_length
        found |= surface.fineweb(group.of(group.left), counts, short)
        if c4 is not None:
            for place, count in zip(group.here.tolist(), found["line_count"].tolist(), strict=True):
                group.removed[place] -= int(count)
        return found


@compiled
def _word_counts(
    ids: np.ndarray,
    counts: np.ndarray,
    lengths: np.ndarray,
    symbol: np.ndarray,
    alpha: np.ndarray,
    stop: np.ndarray,
) -> tuple[np.ndarray, ...]:
    """Of each text: words that are no symbols, their characters, words with a letter, which stop words it has."""
    real, characters, letters = np.zeros((3, len(counts)), np.float64)
    stops = np.zeros(len(counts), np.uint8)
    place = 0
    for text in range(len(counts)):
        for word in ids[place : place + counts[text]]:
            if not symbol[word]:
                real[text] += 1
                characters[text] += lengths[word]
            letters[text] += alpha[word]
            stops[text] |= stop[word]
        place += counts[text]
    return real, characters, letters, stops


def _groups(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Where to cut a batch, so that a group has about GROUP characters."""
    start = size = 0
    for place, text in enumerate(texts):
        if place > start and size + len(text) > GROUP:
            yield start, place
            start, size = place, 0
        size += len(text)
    if texts:
        yield start, len(texts)
