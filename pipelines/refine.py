"""What happens to records on their way from the source to the files: extract, language, filters.

    items ─► extract ─► language ─► filters ─► DOCUMENT rows, or DROPPED rows with stage, reason and value

Records travel in batches, so that each step can work on columns; what becomes of a record never depends on its batch.
Reasons of this module: duplicate_url (read), extract_error, empty_text (extract), language (language); those of the
readers stand in their modules, those of the filters in filters.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.schema import doc_id
from ..core.settings_data import CrawlSource, Extract, Filters, Language, Source
from .extract import extract, normalise
from .filters import QualityFilters
from .language import identify
from .sources.records import Loss, Other, RawRecord

BATCH_RECORDS = 128
BATCH_BYTES = 8 << 20


@dataclass(slots=True)
class Outcome:
    """A row for one of the two files, and how many lines of a kept text C4 removed."""

    kept: bool
    row: dict[str, Any]
    lines_removed: int = 0


@dataclass(slots=True)
class Candidate:
    """A record that is still on its way, and what the steps found out about it."""

    place: int  # in the batch
    record: RawRecord
    identity: str
    title: str = ""
    text: str = ""
    lang: str = ""
    lang_score: float = 0.0


def batches(items: Iterable[RawRecord | Loss | Other]) -> Iterator[list[RawRecord | Loss | Other]]:
    """Items in groups of a hundred or some megabytes, whichever is reached first."""
    batch: list[RawRecord | Loss | Other] = []
    size = 0
    for item in items:
        batch.append(item)
        size += len(item.html or item.text or "") if isinstance(item, RawRecord) else 0
        if len(batch) >= BATCH_RECORDS or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


class Refiner:
    """The way of one unit's records. Holds the URLs seen, for crawls."""

    def __init__(
        self, source: Source, origin: str, key: str, extract: Extract, language: Language, filters: Filters
    ) -> None:
        self._source, self._origin, self._key = source, origin, key
        self._extract, self._language = extract, language
        self._filters = QualityFilters(filters)
        self._seen: set[str] | None = set() if isinstance(source, CrawlSource) else None

    def refine(self, items: Sequence[RawRecord | Loss]) -> list[Outcome]:
        """Decide on the records of a batch, in their order. Nothing that a single page holds raises."""
        outcomes: list[Outcome | None] = [None] * len(items)
        here = [found for place, item in enumerate(items) if (found := self._admit(place, item, outcomes))]
        for step in (self._extracted, self._in_language, self._of_quality):
            here = step(here, outcomes)
        assert all(outcomes), "a record left the batch without an outcome"
        return [outcome for outcome in outcomes if outcome is not None]

    def _admit(self, place: int, item: RawRecord | Loss, outcomes: list[Outcome | None]) -> Candidate | None:
        identity = doc_id(self._source.name, f"{item.key or self._key}@{item.place}")
        if isinstance(item, Loss):
            outcomes[place] = self._drop(item, identity, "read", item.reason, item.value, item.detail)
            return None
        if self._seen is not None and item.url:
            if item.url in self._seen:
                outcomes[place] = self._drop(item, identity, "read", "duplicate_url")
                return None
            self._seen.add(item.url)
            identity = doc_id(self._source.name, item.url)
        return Candidate(place, item, identity)

    def _extracted(self, here: list[Candidate], outcomes: list[Outcome | None]) -> list[Candidate]:
        left = []
        for one in here:
            one.title, one.text = normalise(one.record.title), normalise(one.record.text or "")
            if one.record.html is not None:
                try:
                    page = extract(one.record.html, one.record.charset)
                except Exception as error:  # the HTML parser's own errors: one page among millions, named in the ledger
                    said = f"{type(error).__name__}: {error}"
                    outcomes[one.place] = self._drop(one.record, one.identity, "extract", "extract_error", None, said)
                    continue
                one.title, one.text = page.title, page.text
            if len(one.text) < self._extract.min_chars:
                outcomes[one.place] = self._drop(
                    one.record, one.identity, "extract", "empty_text", float(len(one.text))
                )
                continue
            left.append(one)
        return left

    def _in_language(self, here: list[Candidate], outcomes: list[Outcome | None]) -> list[Candidate]:
        left = []
        for one, found in zip(here, identify([one.text for one in here]), strict=True):
            one.lang, one.lang_score = found
            foreign = bool(self._language.keep) and one.lang not in self._language.keep
            if foreign or one.lang_score < self._language.threshold:
                outcomes[one.place] = self._drop(
                    one.record, one.identity, "language", "language", one.lang_score, one.lang
                )
                continue
            left.append(one)
        return left

    def _of_quality(self, here: list[Candidate], outcomes: list[Outcome | None]) -> list[Candidate]:
        verdicts = self._filters.judge([one.text for one in here], [one.lang for one in here])
        for one, verdict in zip(here, verdicts, strict=True):
            if verdict.objection is not None:
                reason, value = verdict.objection
                outcomes[one.place] = self._drop(one.record, one.identity, "filter", reason, value)
                continue
            one.text = verdict.text
            outcomes[one.place] = self._keep(one, verdict.lines_removed)
        return []

    def _keep(self, one: Candidate, lines_removed: int) -> Outcome:
        row = {
            "doc_id": one.identity,
            "url": _clean(one.record.url),
            "source": self._source.name,
            "title": one.title,
            "date": _clean(one.record.date),
            "lang": one.lang,
            "lang_score": one.lang_score,
            "text": one.text,
            "origin_file": _clean(one.record.file or self._origin),
            "origin_offset": one.record.offset,
        }
        return Outcome(True, row, lines_removed)

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
            "origin_file": _clean(item.file or self._origin),
            "origin_offset": item.offset,
        }
        return Outcome(False, row)


def _clean(text: str) -> str:
    """A string that Arrow takes: lone surrogates of broken input become question marks."""
    return text.encode("utf-8", errors="replace").decode("utf-8")
