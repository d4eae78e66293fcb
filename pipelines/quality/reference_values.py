"""The value behind a reason of datatrove's filters: the number that it compared with its threshold.

One entry a reason, each with the expression of datatrove's own source, on the text that the filter saw.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from datatrove.data import Document
from datatrove.pipeline.filters.base_filter import BaseFilter
from datatrove.pipeline.filters.gopher_repetition_filter import (
    find_all_duplicate,
    find_duplicates,
    find_top_duplicate,
    get_n_grams,
)
from datatrove.utils.text import PUNCTUATION_SET, split_into_sentences, split_into_words

Measure = Callable[[Any, str], float]


def measure(filter_: BaseFilter, reason: str, text: str) -> float | None:
    """The value, None for a reason without a number (an empty text, a forbidden string)."""
    if reason.startswith("top_"):
        n = int(reason.split("_")[1])
        return find_top_duplicate(get_n_grams(_words(filter_, text), n)) / len(text)
    if reason.startswith("duplicated_"):
        return find_all_duplicate(_words(filter_, text), int(reason.split("_")[1])) / len(text)
    known = MEASURES.get(reason)
    return float(known(filter_, text)) if known else None


def _words(filter_: Any, text: str) -> list[str]:
    return split_into_words(text, filter_.language)


def _paragraphs(filter_: Any, text: str) -> list[str]:
    return filter_.paragraph_exp.split(text.strip())


def _gopher_lines(filter_: Any, text: str) -> list[str]:
    return filter_._line_splitter.split(text)


def _word_lengths(filter_: Any, text: str) -> list[int]:
    """Lengths of the words that are not all punctuation."""
    return [len(word) for word in _words(filter_, text) if any(char not in PUNCTUATION_SET for char in word)]


def _share(lines: list[str], holds: Callable[[str], bool]) -> float:
    return sum(holds(line) for line in lines) / len(lines)


def _filled_lines(text: str) -> list[str]:
    return [line for line in text.split("\n") if line.strip()]


def _c4_sentences(filter_: Any, text: str) -> float:
    """Sentences in the lines that C4 keeps, counted by running its line rules with the sentence rule off."""
    limit, filter_.min_num_sentences = filter_.min_num_sentences, -1
    try:
        document = Document(text=text, id="")
        filter_.filter(document)
    finally:
        filter_.min_num_sentences = limit
    return float(sum(len(split_into_sentences(line, filter_.language)) for line in document.text.split("\n") if line))


MEASURES: dict[str, Measure] = {
    # Gopher repetition
    "dup_para_frac": lambda f, text: find_duplicates(_paragraphs(f, text))[0] / len(_paragraphs(f, text)),
    "dup_para_char_frac": lambda f, text: find_duplicates(_paragraphs(f, text))[1] / len(text),
    "dup_line_frac": lambda f, text: find_duplicates(_gopher_lines(f, text))[0] / len(_gopher_lines(f, text)),
    "dup_line_char_frac": lambda f, text: find_duplicates(_gopher_lines(f, text))[1] / len(text),
    # Gopher quality
    "gopher_short_doc": lambda f, text: len(_word_lengths(f, text)),
    "gopher_long_doc": lambda f, text: len(_word_lengths(f, text)),
    "gopher_below_avg_threshold": lambda f, text: float(np.mean(_word_lengths(f, text))),
    "gopher_above_avg_threshold": lambda f, text: float(np.mean(_word_lengths(f, text))),
    "gopher_too_many_hashes": lambda f, text: text.count("#") / len(_words(f, text)),
    "gopher_too_many_ellipsis": lambda f, text: (text.count("...") + text.count("…")) / len(_words(f, text)),
    "gopher_too_many_bullets": lambda f, text: _share(text.splitlines(), lambda s: s.lstrip().startswith(("•", "-"))),
    "gopher_too_many_end_ellipsis": lambda f, text: _share(
        text.splitlines(), lambda s: s.rstrip().endswith(("...", "…"))
    ),
    "gopher_below_alpha_threshold": lambda f, text: _share(_words(f, text), lambda w: any(c.isalpha() for c in w)),
    "gopher_enough_stop_words": lambda f, text: len(f.stop_words.intersection(_words(f, text))),
    # C4
    "too_few_sentences": _c4_sentences,
    # FineWeb
    "line_punct_ratio": lambda f, text: _share(_filled_lines(text), lambda s: s.endswith(f.stop_chars)),
    "short_line_ratio": lambda f, text: _share(_filled_lines(text), lambda s: len(s) <= f.short_line_length),
    "char_dup_ratio": lambda f, text: find_duplicates(_filled_lines(text))[1] / len(text.replace("\n", "")),
    "list_ratio": lambda f, text: text.count("\n") / len(_words(f, text)),
}
