"""What happens to one record on its way from the source to the files: extract, language, filters.

    item ─► extract ─► language ─► filters ─► a DOCUMENT row, or a DROPPED row with stage, reason and value

Reasons of this module: duplicate_url (read), extract_error, empty_text (extract), language (language); those of the
readers stand in their modules, those of the filters in filters.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..core.schema import doc_id
from ..core.settings_data import CrawlSource, Extract, Filters, Language, Source
from .extract import extract, normalise
from .filters import QualityFilters
from .language import identify
from .sources.records import Loss, RawRecord


@dataclass(frozen=True, slots=True)
class Outcome:
    """A row for one of the two files, and how many lines of a kept text C4 removed."""

    kept: bool
    row: dict[str, Any]
    lines_removed: int = 0


class Refiner:
    """The way of one unit's records. Holds the URLs seen, for crawls."""

    def __init__(
        self, source: Source, origin: str, key: str, extract: Extract, language: Language, filters: Filters
    ) -> None:
        self._source, self._origin, self._key = source, origin, key
        self._extract, self._language = extract, language
        self._filters = QualityFilters(filters)
        self._seen: set[str] | None = set() if isinstance(source, CrawlSource) else None

    def refine(self, item: RawRecord | Loss) -> Outcome:
        """Decide on one record. Nothing that a single page holds raises."""
        place_id = doc_id(self._source.name, f"{self._key}@{item.place}")
        if isinstance(item, Loss):
            return self._drop(item, place_id, "read", item.reason, item.value, item.detail)
        identity = place_id
        if self._seen is not None and item.url:
            if item.url in self._seen:
                return self._drop(item, place_id, "read", "duplicate_url")
            self._seen.add(item.url)
            identity = doc_id(self._source.name, item.url)
        return self._text(item, identity)

    def _text(self, record: RawRecord, identity: str) -> Outcome:
        title, text = normalise(record.title), normalise(record.text or "")
        if record.html is not None:
            try:
                page = extract(record.html, record.charset)
            except Exception as error:  # the HTML parser's own errors: one page among millions, named in the ledger
                return self._drop(
                    record, identity, "extract", "extract_error", None, f"{type(error).__name__}: {error}"
                )
            title, text = page.title, page.text
        if len(text) < self._extract.min_chars:
            return self._drop(record, identity, "extract", "empty_text", float(len(text)))
        language, score = identify(text)
        if (self._language.keep and language not in self._language.keep) or score < self._language.threshold:
            return self._drop(record, identity, "language", "language", score, language)
        verdict = self._filters.judge(text, language)
        if verdict.objection is not None:
            return self._drop(record, identity, "filter", verdict.objection.reason, verdict.objection.value)
        row = {
            "doc_id": identity,
            "url": _clean(record.url),
            "source": self._source.name,
            "title": title,
            "date": _clean(record.date),
            "lang": language,
            "lang_score": score,
            "text": verdict.text,
            "origin_file": self._origin,
            "origin_offset": record.offset,
        }
        return Outcome(True, row, verdict.lines_removed)

    def _drop(
        self,
        item: RawRecord | Loss,
        identity: str,
        stage: str,
        reason: str,
        value: float | None = None,
        detail: str = "",
    ) -> Outcome:
        row = {
            "doc_id": identity,
            "url": _clean(item.url),
            "source": self._source.name,
            "stage": stage,
            "reason": reason,
            "value": value,
            "detail": _clean(detail),
            "origin_file": self._origin,
            "origin_offset": item.offset,
        }
        return Outcome(False, row)


def _clean(text: str) -> str:
    """A string that Arrow takes: lone surrogates of broken input become question marks."""
    return text.encode("utf-8", errors="replace").decode("utf-8")
