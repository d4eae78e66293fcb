"""A record on its way through the stage `extract`, and the row that it becomes: of a document, or of the ledger."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..core.credentials import without_credentials
from .sources.records import Loss, RawRecord


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
    lines_removed: int = 0
    scores: dict[str, float] = field(default_factory=dict)  # column: value
    masked: dict[str, int] = field(default_factory=dict)  # kind of personal data: number


@dataclass(slots=True)
class Outcome:
    """A row for one of the two files; how many lines of a kept text C4 removed, and what was masked in it."""

    kept: bool
    row: dict[str, Any]
    lines_removed: int = 0
    masked: dict[str, int] = field(default_factory=dict)


class Rows:
    """Makes the rows of one unit's records."""

    def __init__(self, source: str, origin: str) -> None:
        self._source, self._origin = source, origin

    def kept(self, one: Candidate) -> Outcome:
        """The row of a document: DOCUMENT and its scores."""
        row = {
            "doc_id": one.identity,
            "url": _clean(one.record.url),
            "source": self._source,
            "title": one.title,
            "date": _clean(one.record.date),
            "lang": one.lang,
            "lang_score": one.lang_score,
            "text": one.text,
            "origin_file": _clean(without_credentials(one.record.file or self._origin)),
            "origin_offset": one.record.offset,
            **one.scores,
        }
        return Outcome(True, row, one.lines_removed, one.masked)

    def dropped(
        self,
        item: RawRecord | Loss,
        identity: str,
        stage: str,
        reason: str,
        value: float | None = None,
        detail: str = "",
        lang: str | None = None,
        bytes_text: int | None = None,
    ) -> Outcome:
        """The row of the ledger: DROPPED_EARLY."""
        row = {
            "doc_id": identity,
            "url": _clean(item.url),
            "source": self._source,
            "stage": stage,
            "reason": reason,
            "value": value,
            "detail": _clean(without_credentials(detail)),
            "origin_file": _clean(without_credentials(item.file or self._origin)),
            "origin_offset": item.offset,
            "lang": lang,
            "bytes_text": bytes_text,
        }
        return Outcome(False, row)

    def left(self, one: Candidate, stage: str, reason: str, value: float | None = None, detail: str = "") -> Outcome:
        """As `dropped`, of a record that has become a text, with what is known of it."""
        size = len(one.text.encode("utf-8", "surrogatepass")) if one.text else None
        return self.dropped(one.record, one.identity, stage, reason, value, detail, one.lang or None, size)


def _clean(text: str) -> str:
    """A string that Arrow takes: lone surrogates of broken input become question marks."""
    return text.encode("utf-8", errors="replace").decode("utf-8")
