"""WARC files (.warc, .warc.gz; ISO 28500): every HTTP response with an HTML page, and an account of everything else.

Framing is done here, byte by byte, because FastWARC ends silently at a truncated member and raises without a place at a
damaged one; here each unreadable record is a Loss with its offset, and reading goes on at the next record that begins
at a gzip member or with a WARC version line. On sound files the records are FastWARC's (a test compares them).

Reasons of losses. Broken: truncated_gzip, bad_gzip, truncated, not_warc, bad_header, bad_length, no_http_headers,
bad_chunk, bad_content_encoding. Sound, but no page: http_status, not_html, too_large.
Requests, metadata, warcinfo, revisits, resources and conversions are counted as Other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

from .byte_stream import ByteStream, open_stream
from .http_message import BadMessage, decode_body, parse_headers, parse_response
from .records import Item, Loss, Other, RawRecord

HEADER_LIMIT = 1 << 16
HTTP_HEAD = 1 << 16  # bytes that a record may be longer than its body's limit
HTML = {"text/html", "application/xhtml+xml"}
VERSION = re.compile(rb"WARC/[01]\.\d+[ \t]*\r?\n")
HEADER_END = re.compile(rb"\r?\n\r?\n")
NEXT_RECORD = re.compile(rb"\nWARC/[01]\.\d+[ \t]*\r?\n")
OVERLAP = 64


def read_warc(handle: BinaryIO, max_bytes: int) -> Iterator[Item]:
    """Items of one seekable file, in its order. Bodies above max_bytes are skipped, not held: memory is one record."""
    stream = open_stream(handle, b"WARC/")
    position = 0
    reported: set[int] = set()  # damaged members that cost a record already: no second row for them
    while True:
        position = _skip_blank_lines(stream, position)
        if stream.ensure(position + 1):
            stream.forget(position)
            item, position = _read_record(stream, position, max_bytes, reported)
            yield item
        elif (damage := stream.damage) is not None:
            if damage.offset not in reported:
                reported.add(damage.offset)
                yield Loss(damage.offset, f"{damage.offset}!", damage.reason, detail=damage.detail)
            position = stream.cross()
        else:
            return


def _read_record(stream: ByteStream, start: int, max_bytes: int, reported: set[int]) -> tuple[Item, int]:
    """The record at `start`, and the position where to go on."""
    offset, inner = stream.origin(start)
    place = f"{offset}+{inner}" if inner else str(offset)
    if (header_end := _header_end(stream, start)) is None:
        found = stream.slice(start, min(start + 40, stream.end))
        if not found.startswith(b"WARC/"):
            detail = "an ARC file, not WARC" if found.startswith(b"filedesc:") else f"begins with {found!r}"
            return Loss(offset, place, "not_warc", detail=detail), _next_record(stream, start + 1)
        return _cut(stream, offset, place, "bad_header", reported), _next_record(stream, start + 1)
    headers = parse_headers(stream.slice(start, header_end))
    url = headers.get("warc-target-uri", "").strip("<>")
    length = headers.get("content-length", "")
    if not (length.isascii() and length.isdigit()):
        detail = f"Content-Length is {length!r}"
        return Loss(offset, place, "bad_length", url, detail=detail), _next_record(stream, header_end)
    end = header_end + int(length)
    kind = headers.get("warc-type", "").lower()
    held = kind == "response" and int(length) <= max_bytes + HTTP_HEAD
    here = stream.origin(header_end - 1)
    if not (stream.ensure(end) if held else stream.skip(end)):
        item: Item = _cut(stream, offset, place, "truncated", reported, url)
    elif (after := _boundary(stream, end)) is None:
        item = Loss(offset, place, "bad_length", url, float(length), "no record ends where Content-Length says")
    elif stream.damage is not None and stream.damage_start < end:
        item = _cut(stream, offset, place, "truncated", reported, url)
    elif not kind:
        return Loss(offset, place, "bad_header", url, detail="no WARC-Type"), after
    elif kind != "response":
        return Other(kind), after
    elif not held:
        return Loss(offset, place, "too_large", url, float(length), "record"), after
    else:
        return _page(stream.slice(header_end, end), headers, offset, place, url, max_bytes), after
    return item, _next_record(stream, header_end if held else stream.rewind(here) + 1)


def _page(block: bytes, headers: dict[str, str], offset: int, place: str, url: str, max_bytes: int) -> Item:
    """The HTML page in a response's block, or why there is none."""
    try:
        if not headers.get("content-type", "").lower().startswith("application/http"):
            raise BadMessage("not_html", headers.get("content-type", ""))
        response = parse_response(block)
        if not 200 <= response.status < 300:
            raise BadMessage("http_status", value=float(response.status))
        if response.mime and response.mime not in HTML:
            raise BadMessage("not_html", response.mime)
        body = decode_body(response, max_bytes, cut="warc-truncated" in headers)
        if not response.mime and b"<html" not in body[:1024].lower():
            raise BadMessage("not_html", "no Content-Type, and no <html in the first bytes")
    except BadMessage as bad:
        return Loss(offset, place, bad.reason, url, bad.value, bad.detail)
    return RawRecord(offset, place, url, date=headers.get("warc-date", ""), html=body, charset=response.charset)


def _cut(stream: ByteStream, offset: int, place: str, reason: str, reported: set[int], url: str = "") -> Loss:
    """The loss of a record that the damage of the file, or its end, cut off."""
    if stream.damage is None:
        return Loss(offset, place, reason, url)
    reported.add(stream.damage.offset)
    return Loss(offset, place, stream.damage.reason, url, detail=stream.damage.detail)


def _header_end(stream: ByteStream, start: int) -> int | None:
    """Position behind the WARC header that begins at `start`, None when none does or it does not end."""
    size = 1 << 10
    while stream.ensure(start + size) or stream.end > start:
        head = stream.slice(start, start + size)
        if not VERSION.match(head):
            return None
        if found := HEADER_END.search(head):
            return start + found.end()
        if stream.end < start + size or size >= HEADER_LIMIT:
            return None
        size *= 2
    return None


def _boundary(stream: ByteStream, end: int) -> int | None:
    """Position of what follows a record whose block ends at `end`; None when the block cannot end there."""
    after = _skip_blank_lines(stream, end)
    if not stream.ensure(after + 1):
        return after
    segment = stream.segment_from(end)
    if segment is not None and segment <= after:
        return after
    stream.ensure(after + 5)
    return after if stream.slice(after, after + 5) == b"WARC/" else None


def _next_record(stream: ByteStream, start: int) -> int:
    """The first position from `start` on where a record may begin: a gzip member or a WARC version line."""
    while True:
        segment, line = stream.segment_from(start), stream.search(NEXT_RECORD, start - 1)
        candidates = [position for position in (segment, line and line[0] + 1) if position is not None]
        if candidates:
            return min(candidates)
        start = max(start, stream.end - OVERLAP)
        stream.forget(start - 1)
        if not stream.ensure(stream.end + 1):
            return stream.end


def _skip_blank_lines(stream: ByteStream, position: int) -> int:
    while stream.ensure(position + 1) and stream.slice(position, position + 1) in (b"\r", b"\n"):
        position += 1
    return position
