"""datatrove's quality filters as the recipe sets them, each objection with its reason and the measured value.

The decisions are datatrove's: its own classes judge. They report a reason only, so the value that broke the threshold
is measured afterwards, for dropped documents alone, by the definition in datatrove's source (pipeline/filters/*.py).
Reasons have their filter as prefix: gopher_rep_…, gopher_… (datatrove's own), c4_…, fineweb_….
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.pipeline.filters.base_filter import BaseFilter, get_filter_result
from datatrove.utils.word_tokenizers import WordTokenizer

from ..core.settings_data import Filters
from .filter_values import measure
from .words import tokenizer_for

KINDS: dict[str, type[Any]] = {
    "gopher_repetition": GopherRepetitionFilter,
    "gopher_quality": GopherQualityFilter,
    "c4": C4QualityFilter,
    "fineweb": FineWebQualityFilter,
}
PREFIXES = {"gopher_repetition": "gopher_rep_", "gopher_quality": "gopher_", "c4": "c4_", "fineweb": "fineweb_"}


class Objection(NamedTuple):
    """Why a filter drops a document: the ledger's reason and value."""

    reason: str
    value: float | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The text to keep (C4 removes lines), or the first objection; and how many lines were removed."""

    text: str
    objection: Objection | None = None
    lines_removed: int = 0


class QualityFilters:
    """The filters that the recipe has switched on, in the recipe's order."""

    def __init__(self, settings: Filters) -> None:
        self._settings = settings
        self._chains: dict[WordTokenizer, list[tuple[str, BaseFilter]]] = {}

    def judge(self, texts: Sequence[str], languages: Sequence[str]) -> list[Verdict]:
        """Run documents through the filters: one verdict each, the same in any batch."""
        return [self._judge(text, language) for text, language in zip(texts, languages, strict=True)]

    def _judge(self, text: str, language: str) -> Verdict:
        document = Document(text=text, id="")
        removed = 0
        for name, filter_ in self._chain(tokenizer_for(language)):
            before = document.text
            kept, reason = get_filter_result(filter_.filter(document))
            if not kept:
                prefix = PREFIXES[name]
                word = f"{prefix}{(reason or 'dropped').removeprefix(prefix)}"
                return Verdict(text, Objection(word, measure(filter_, reason or "", before)))
            if document.text != before:
                removed += _lines(before) - _lines(document.text)
        return Verdict(document.text, None, removed)

    def _chain(self, words: WordTokenizer) -> list[tuple[str, BaseFilter]]:
        """datatrove's filters for one language; they hold no state but counts."""
        if words not in self._chains:
            chosen = ((name, kind, getattr(self._settings, name)) for name, kind in KINDS.items())
            self._chains[words] = [
                (name, kind(**options.model_dump(), language=words))
                for name, kind, options in chosen
                if options is not None
            ]
        return self._chains[words]


def _lines(text: str) -> int:
    return sum(1 for line in text.splitlines() if line.strip())
