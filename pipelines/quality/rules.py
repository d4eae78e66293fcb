"""The rules that the recipe has switched on: which measure, below or above what, and the ledger's reason.

Order and comparisons are datatrove's: a threshold of 0 or null switches Gopher's rules off, except for n-grams.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ...core.settings_filters import C4Quality, Filters, FineWebQuality, GopherQuality, GopherRepetition


class Rule(NamedTuple):
    """Drop a text whose measure is below (or above) the threshold."""

    key: str  # where the threshold stands in the recipe, below `filters.`
    reason: str
    measure: str
    below: bool
    threshold: float
    counted: bool = True  # whether the ledger names the value: not where it is a mere yes

    def breaks(self, values: np.ndarray) -> np.ndarray:
        """For each value, whether it breaks the rule; the threshold has the values' precision."""
        limit = values.dtype.type(self.threshold)
        return values < limit if self.below else values > limit


def rules_of(settings: Filters) -> list[Rule]:
    """The rules of the four filters, in the order in which they are asked."""
    found: list[Rule] = []
    if settings.gopher_repetition is not None:
        found += _gopher_repetition(settings.gopher_repetition)
    if settings.gopher_quality is not None:
        found += _gopher_quality(settings.gopher_quality)
    if settings.c4 is not None:
        found += _c4(settings.c4)
    if settings.fineweb is not None:
        found += _fineweb(settings.fineweb)
    return found


def custom_rules(settings: Filters) -> list[Rule]:
    """The recipe's own rules."""
    return [
        Rule(f"rules.{rule.name}.{bound}", f"rule_{rule.name}", rule.column, bound == "min", limit)
        for rule in settings.rules
        for bound, limit in (("min", rule.min), ("max", rule.max))
        if limit is not None
    ]


def first_broken(rules: Sequence[Rule], values: dict[str, np.ndarray], texts: int) -> np.ndarray:
    """For each text the number of the first rule that it breaks, -1 for a text that breaks none."""
    first = np.full(texts, -1)
    for number, rule in enumerate(rules):
        first[(first < 0) & rule.breaks(values[rule.measure])] = number
    return first


def _gopher_repetition(limits: GopherRepetition) -> Iterator[Rule]:
    section = "gopher_repetition"
    yield Rule(f"{section}.empty", "gopher_rep_empty", "characters", True, 1, counted=False)
    for name in ("dup_para_frac", "dup_para_char_frac", "dup_line_frac", "dup_line_char_frac"):
        if limit := getattr(limits, name):
            yield Rule(f"{section}.{name}", f"gopher_rep_{name}", name, False, limit)
    for n, limit in limits.top_n_grams:
        yield Rule(f"{section}.top_n_grams.{n}", f"gopher_rep_top_{n}_gram", f"top_{n}_gram", False, limit)
    for n, limit in limits.dup_n_grams:
        name = f"duplicated_{n}_n_grams"
        yield Rule(f"{section}.dup_n_grams.{n}", f"gopher_rep_{name}", name, False, limit)


def _gopher_quality(limits: GopherQuality) -> Iterator[Rule]:
    for name, reason, measure, below in (
        ("min_doc_words", "short_doc", "word_count", True),
        ("max_doc_words", "long_doc", "word_count", False),
        ("min_avg_word_length", "below_avg_threshold", "mean_word_length", True),
        ("max_avg_word_length", "above_avg_threshold", "mean_word_length", False),
        ("max_symbol_word_ratio", "too_many_hashes", "hash_ratio", False),
        ("max_symbol_word_ratio", "too_many_ellipsis", "ellipsis_ratio", False),
        ("max_bullet_lines_ratio", "too_many_bullets", "bullet_lines_ratio", False),
        ("max_ellipsis_lines_ratio", "too_many_end_ellipsis", "ellipsis_lines_ratio", False),
        ("max_non_alpha_words_ratio", "below_alpha_threshold", "alpha_words_ratio", True),
        ("min_stop_words", "enough_stop_words", "stop_words", True),
    ):
        if limit := getattr(limits, name):
            yield Rule(f"gopher_quality.{name}", f"gopher_{reason}", measure, below, limit)


def _c4(limits: C4Quality) -> Iterator[Rule]:
    for name in ("lorem_ipsum", "curly_bracket"):
        if getattr(limits, f"filter_{name}"):
            yield Rule(f"c4.filter_{name}", f"c4_{name}", f"c4_{name}", False, 0, counted=False)
    yield Rule("c4.min_num_sentences", "c4_too_few_sentences", "c4_sentences", True, limits.min_num_sentences)


def _fineweb(limits: FineWebQuality) -> Iterator[Rule]:
    yield Rule("fineweb.empty", "fineweb_empty", "line_count", True, 1, counted=False)
    for name, reason, below in (
        ("line_punct_thr", "line_punct_ratio", True),
        ("short_line_thr", "short_line_ratio", False),
        ("char_duplicates_ratio", "char_dup_ratio", False),
        ("new_line_ratio", "list_ratio", False),
    ):
        yield Rule(f"fineweb.{name}", f"fineweb_{reason}", reason, below, getattr(limits, name))
