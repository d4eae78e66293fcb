"""The heads of archived records: WARC's block of named fields (ISO 28500) and ARC's single line (versions 1 and 2).

ARC 1   URL IP DATE TYPE LENGTH
ARC 2   URL IP DATE TYPE RESULT CHECKSUM LOCATION OFFSET FILE LENGTH
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .byte_stream import ByteStream
from .http_message import parse_headers

HEAD_LIMIT = 1 << 16
VERSION = re.compile(rb"WARC/[01]\.\d+[ \t]*\r?\n")
HEAD_END = re.compile(rb"\r?\n\r?\n")
ARC_LINE = re.compile(
    rb"([a-z][a-z0-9+.-]{1,20}:[^\r\n]{0,4000}?) ([0-9A-Fa-f.:]{1,45}|-) (\d{8,14}) ([^\r\n]{0,2000} )?(\d{1,12})\r?\n"
)
RECORD = re.compile(rb"WARC/[01]\.\d+[ \t]*\r?\n|" + ARC_LINE.pattern)  # how a record begins
NEXT_RECORD = re.compile(rb"\n(?=" + RECORD.pattern + rb")")


@dataclass(frozen=True, slots=True)
class Head:
    """What a record says of itself. `http`: its block is an HTTP message; `cut`: the crawler cut the block off."""

    end: int  # position behind the head
    kind: str  # warc-type; for ARC response, filedesc, or the URL's scheme
    url: str
    date: str
    length: str  # as it stands there
    media_type: str
    http: bool
    cut: bool = False


def read_head(stream: ByteStream, start: int) -> Head | None:
    """The head of the record that begins at `start`; None when none does, or it does not end."""
    stream.ensure(start + 5)
    return _warc_head(stream, start) if stream.slice(start, start + 5) == b"WARC/" else _arc_head(stream, start)


def _warc_head(stream: ByteStream, start: int) -> Head | None:
    size = 1 << 10
    while stream.ensure(start + size) or stream.end > start:
        head = stream.slice(start, start + size)
        if not VERSION.match(head):
            return None
        if found := HEAD_END.search(head):
            break
        if stream.end < start + size or size >= HEAD_LIMIT:
            return None
        size *= 2
    else:
        return None
    fields = parse_headers(head[: found.end()])
    media_type = fields.get("content-type", "").lower()
    return Head(
        start + found.end(),
        fields.get("warc-type", "").lower(),
        fields.get("warc-target-uri", "").strip("<>"),
        fields.get("warc-date", ""),
        fields.get("content-length", ""),
        media_type,
        media_type.startswith("application/http"),
        "warc-truncated" in fields,
    )


def _arc_head(stream: ByteStream, start: int) -> Head | None:
    stream.ensure(start + (8 << 10))
    found = ARC_LINE.match(stream.slice(start, start + (8 << 10)))
    if found is None:
        return None
    url, _, date, media_type, length = (part.decode("utf-8", "replace") for part in found.groups(default=b""))
    scheme = url.partition(":")[0].lower()
    web = scheme in ("http", "https")
    kind = "response" if web else scheme
    return Head(start + found.end(), kind, url, _iso(date), length, media_type.partition(" ")[0], web)


def _iso(date: str) -> str:
    """An ARC date, YYYYMMDDhhmmss, in ISO 8601; "" for one without a time."""
    if len(date) != 14:
        return ""
    return f"{date[:4]}-{date[4:6]}-{date[6:8]}T{date[8:10]}:{date[10:12]}:{date[12:]}Z"
