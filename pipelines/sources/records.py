"""What every reader of raw input yields, one record at a time.

    RawRecord   a document: HTML bytes still to be decoded and extracted, or text that is ready
    Loss        a record that cannot become a document, or is too broken to be read: a row of the ledger
    Other       a record that never was a document (a WARC request, metadata, …): only counted

`place` names the record inside its file, distinct among all records and losses of the file; with the file's name it
makes the doc_id. `offset` is the number a person can look up: the byte offset (for gzip: of the member that holds the
record), the page id of a dump, the line or row number of a table.

A unit that reads many files says in each item which: `file` for the ledger and `key`, its name inside doc_ids. Where
they are empty, those of the unit hold.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RawRecord:
    """A document as its source has it: either `html` (with the charset of its HTTP header, if any) or `text`."""

    offset: int
    place: str
    url: str = ""
    title: str = ""
    date: str = ""
    html: bytes | None = None
    charset: str | None = None
    text: str | None = None
    file: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Loss:
    """A record that is lost, and why: `reason` is a fixed word, `detail` says what the word cannot."""

    offset: int
    place: str
    reason: str
    url: str = ""
    value: float | None = None
    detail: str = ""
    file: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Other:
    """A record that is no document."""

    kind: str


Item = RawRecord | Loss | Other
