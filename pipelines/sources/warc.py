"""WARC, WET and ARC files, plain or gzip: every web page and every ready text, and an account of everything else.

Framing is done here, byte by byte, because FastWARC ends silently at a truncated member and raises without a place at a
damaged one; here each unreadable record is a Loss with its offset, and reading goes on at the next record that begins
at a gzip member, with a WARC version line or with an ARC head line. On sound files the records are FastWARC's (a test
compares them). Pages are HTTP responses with HTML; texts are WET's conversion records of text/plain.

Reasons of losses. Broken: truncated_gzip, bad_gzip, truncated, not_warc, bad_header, bad_length, no_http_headers,
bad_chunk, bad_content_encoding. Sound, but no page: http_status, not_html, too_large.
Requests, metadata, warcinfo, revisits, resources, other conversions and ARC's filedesc and dns are counted as Other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from .byte_stream import ByteStream, open_stream
from .http_message import BadMessage, decode_body, parse_response
from .record_heads import NEXT_RECORD, RECORD, Head, read_head
from .records import Item, Loss, Other, RawRecord

HTTP_HEAD = 1 << 16  # bytes that a record may be longer than its body's limit
HTML = {"text/html", "application/xhtml+xml"}
OVERLAP = 8 << 10  # no head line is longer


def read_warc(handle: BinaryIO, max_bytes: int) -> Iterator[Item]:
    """Items of one seekable file, in its order. Bodies above max_bytes are skipped, not held: memory is one record."""
    stream = open_stream(handle, RECORD)
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
    if (head := read_head(stream, start)) is None:
        found = stream.slice(start, min(start + 40, stream.end))
        if not found.startswith(b"WARC/"):
            detail = f"begins with {found!r}"
            return Loss(offset, place, "not_warc", detail=detail), _next_record(stream, start + 1)
        return _cut(stream, offset, place, "bad_header", reported), _next_record(stream, start + 1)
    if not (head.length.isascii() and head.length.isdigit() and len(head.length) < 16):
        detail = f"Content-Length is {head.length!r}"
        return Loss(offset, place, "bad_length", head.url, detail=detail), _next_record(stream, head.end)
    length = int(head.length)
    end = head.end + length
    text = head.kind == "conversion" and head.media_type.startswith("text/plain")
    held = (text or head.kind == "response") and length <= max_bytes + HTTP_HEAD
    here = stream.origin(head.end - 1)
    if not (stream.ensure(end) if held else stream.skip(end)):
        item: Item = _cut(stream, offset, place, "truncated", reported, head.url)
    elif (after := _boundary(stream, end)) is None:
        if held and text and (after := _found_end(stream, head.end, max_bytes)) is not None:
            return _text(stream.slice(head.end, after), head, offset, place), after
        detail = "no record ends where Content-Length says"
        item = Loss(offset, place, "bad_length", head.url, float(length), detail)
    elif stream.damage is not None and stream.damage_start < end:
        item = _cut(stream, offset, place, "truncated", reported, head.url)
    elif not head.kind:
        return Loss(offset, place, "bad_header", head.url, detail="no WARC-Type"), after
    elif not (text or head.kind == "response"):
        return Other(head.kind), after
    elif not held or (text and length > max_bytes):
        return Loss(offset, place, "too_large", head.url, float(length), "record"), after
    else:
        block = stream.slice(head.end, end)
        return (_text(block, head, offset, place) if text else _page(block, head, offset, place, max_bytes)), after
    return item, _next_record(stream, head.end if held else stream.rewind(here) + 1)


def _text(block: bytes, head: Head, offset: int, place: str) -> Item:
    return RawRecord(offset, place, head.url, date=head.date, text=block.decode("utf-8", "replace").strip())


def _page(block: bytes, head: Head, offset: int, place: str, max_bytes: int) -> Item:
    """The HTML page in a response's block, or why there is none."""
    try:
        if not head.http:
            raise BadMessage("not_html", head.media_type)
        response = parse_response(block)
        if not 200 <= response.status < 300:
            raise BadMessage("http_status", value=float(response.status))
        if response.mime and response.mime not in HTML:
            raise BadMessage("not_html", response.mime)
        body = decode_body(response, max_bytes, cut=head.cut)
        if not response.mime and b"<html" not in body[:1024].lower():
            raise BadMessage("not_html", "no Content-Type, and no <html in the first bytes")
    except BadMessage as bad:
        return Loss(offset, place, bad.reason, head.url, bad.value, bad.detail)
    return RawRecord(offset, place, head.url, date=head.date, html=body, charset=response.charset)


def _cut(stream: ByteStream, offset: int, place: str, reason: str, reported: set[int], url: str = "") -> Loss:
    """The loss of a record that the damage of the file, or its end, cut off."""
    if stream.damage is None:
        return Loss(offset, place, reason, url)
    reported.add(stream.damage.offset)
    return Loss(offset, place, stream.damage.reason, url, detail=stream.damage.detail)


def _boundary(stream: ByteStream, end: int) -> int | None:
    """Position of what follows a record whose block ends at `end`; None when the block cannot end there."""
    after = _skip_blank_lines(stream, end)
    if not stream.ensure(after + 1):
        return after
    segment = stream.segment_from(end)
    if segment is not None and segment <= after:
        return after
    stream.ensure(after + OVERLAP)
    return after if RECORD.match(stream.slice(after, after + OVERLAP)) else None


def _found_end(stream: ByteStream, start: int, max_bytes: int) -> int | None:
    """Where a text whose length is wrong ends: at the next record, or the end of a sound file.

    Texts that passed through other tools have other line ends, or were counted in characters. Reads at most max_bytes.
    """
    while True:
        segment, line = stream.segment_from(start), stream.search(NEXT_RECORD, start)
        candidates = [position for position in (segment, line and line[1]) if position is not None]
        if candidates:
            return min(candidates)
        if stream.end - start > max_bytes:
            return None
        if not stream.ensure(stream.end + 1):
            return None if stream.damage is not None else stream.end


def _next_record(stream: ByteStream, start: int) -> int:
    """The first position from `start` on where a record may begin: a gzip member or a WARC version line."""
    while True:
        segment, line = stream.segment_from(start), stream.search(NEXT_RECORD, start - 1)
        candidates = [position for position in (segment, line and line[1]) if position is not None]
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
