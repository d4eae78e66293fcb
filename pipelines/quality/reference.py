"""The same chain by datatrove's own filter classes: `engine: datatrove`, and the oracle of the native one.

datatrove reports a reason only, so the value that broke the threshold is measured afterwards, for dropped documents
alone, by the expressions of its source (reference_values.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.pipeline.filters.base_filter import BaseFilter, get_filter_result
from datatrove.utils.word_tokenizers import WordTokenizer

from ...core.settings_filters import Filters
from ..words import tokenizer_for
from .reference_values import measure
from .verdict import Objection, Verdict

KINDS: dict[str, tuple[type[Any], str]] = {  # section of the recipe: class, prefix of its reasons
    "gopher_repetition": (GopherRepetitionFilter, "gopher_rep_"),
    "gopher_quality": (GopherQualityFilter, "gopher_"),
    "c4": (C4QualityFilter, "c4_"),
    "fineweb": (FineWebQualityFilter, "fineweb_"),
}


class Reference:
    """The filters that the recipe has switched on, one document at a time."""

    def __init__(self, settings: Filters) -> None:
        self._settings = settings
        self._chains: dict[WordTokenizer, list[tuple[str, BaseFilter]]] = {}

    def judge(self, texts: Sequence[str], languages: Sequence[str]) -> list[Verdict]:
        """One verdict a text."""
        return [self._judge(text, tokenizer_for(language)) for text, language in zip(texts, languages, strict=True)]

    def _judge(self, text: str, words: WordTokenizer) -> Verdict:
        document = Document(text=text, id="")
        removed = 0
        for prefix, filter_ in self._chain(words):
            before = document.text
            kept, reason = get_filter_result(filter_.filter(document))
            if not kept:
                word = f"{prefix}{(reason or 'dropped').removeprefix(prefix)}"
                return Verdict(text, Objection(word, measure(filter_, reason or "", before)))
            if document.text != before:
                removed += _lines(before) - _lines(document.text)
        return Verdict(document.text, None, removed)

    def _chain(self, words: WordTokenizer) -> list[tuple[str, BaseFilter]]:
        """datatrove's filters for one language; they hold no state but counts."""
        if words not in self._chains:
            chosen = ((getattr(self._settings, name), kind, prefix) for name, (kind, prefix) in KINDS.items())
            self._chains[words] = [
                (prefix, kind(**options.model_dump(), language=words))
                for options, kind, prefix in chosen
                if options is not None
            ]
        return self._chains[words]


def _lines(text: str) -> int:
    return sum(1 for line in text.splitlines() if line.strip())
