"""An HTTP response as it stands in a WARC record (RFC 9112): head, transfer coding, content coding.

Everything that cannot be read raises BadMessage with the ledger's reason; nothing is guessed except what real archives
make necessary: bodies that were stored decoded under a header that still announces the coding are taken as they are.
"""

from __future__ import annotations

import io
import re
import zlib
from dataclasses import dataclass

from fastwarc.stream_io import BrotliReader, ZstdReader

CHUNK_SIZE = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\n]*)?\r?\n")
STATUS_LINE = re.compile(rb"HTTP/\d+(?:\.\d+)?[ \t]+(\d{3})(?:[ \t][^\n]*)?\r?\n")
HEAD_END = re.compile(rb"\r?\n\r?\n")


class BadMessage(Exception):
    """A response that cannot be read."""

    def __init__(self, reason: str, detail: str = "", value: float | None = None) -> None:
        super().__init__(reason, detail, value)
        self.reason, self.detail, self.value = reason, detail, value


@dataclass(frozen=True, slots=True)
class Response:
    """Status, headers with lower-case names (the first of each name), and the body still encoded."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def mime(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def charset(self) -> str | None:
        found = re.search(r"charset\s*=\s*[\"']?([^\s\"';,]+)", self.headers.get("content-type", ""), re.IGNORECASE)
        return found.group(1) if found else None


def parse_response(block: bytes) -> Response:
    """Split a record's block. Raises BadMessage("no_http_headers")."""
    status = STATUS_LINE.match(block)
    if status is None:
        raise BadMessage("no_http_headers", f"the block begins with {block[:40]!r}")
    end = HEAD_END.search(block, status.end() - 2)
    head = block[status.end() : end.start()] if end else block[status.end() :]
    return Response(int(status.group(1)), parse_headers(head), block[end.end() :] if end else b"")


def parse_headers(head: bytes) -> dict[str, str]:
    """Header lines to a dictionary; folded lines are joined, lines without a colon are passed over."""
    headers: dict[str, str] = {}
    text = head.decode("utf-8", errors="replace")
    for line in re.sub(r"\r?\n[ \t]+", " ", text).splitlines():
        name, colon, value = line.partition(":")
        if colon:
            headers.setdefault(name.strip().lower(), value.strip())
    return headers


def decode_body(response: Response, limit: int, cut: bool) -> bytes:
    """The body without its transfer and content codings, at most `limit` bytes.

    cut: the crawler cut the body off, so that a missing end is expected. Raises BadMessage: bad_chunk,
    bad_content_encoding, too_large.
    """
    body = response.body
    if "chunked" in response.headers.get("transfer-encoding", "").lower():
        body = dechunk(body, cut)
    codings = response.headers.get("content-encoding", "").lower().split(",")
    for coding in reversed([coding.strip() for coding in codings]):
        body = _decompress(body, coding, limit, cut)
    if len(body) > limit:
        raise BadMessage("too_large", "decoded body", float(len(body)))
    return body


def dechunk(body: bytes, cut: bool = False) -> bytes:
    """Undo the chunked transfer coding. A body that does not begin with a chunk size was stored decoded already."""
    size = CHUNK_SIZE.match(body)
    if size is None:
        return body
    parts: list[bytes] = []
    while True:
        start, length = size.end(), int(size.group(1), 16)
        if length == 0:
            return b"".join(parts)
        parts.append(body[start : start + length])
        after = start + length
        complete = body[after : after + 2] == b"\r\n"
        after += 2 if complete else 1
        if not complete and body[after - 1 : after] != b"\n":
            if cut and start + length >= len(body):
                return b"".join(parts)
            raise BadMessage("bad_chunk", f"the chunk at byte {start} of the body does not end after {length} bytes")
        size = CHUNK_SIZE.match(body, after)
        if size is None:
            if cut and after >= len(body) - 18:
                return b"".join(parts)
            raise BadMessage("bad_chunk", f"no chunk size at byte {after} of the body: {body[after : after + 20]!r}")


def _decompress(body: bytes, coding: str, limit: int, cut: bool) -> bytes:
    if not body:
        return body
    if coding in ("gzip", "x-gzip"):
        return _inflate(body, 47, limit, cut) if body[:2] == b"\x1f\x8b" else body
    if coding == "deflate":  # zlib by the standard, raw deflate from some servers, and decoded already in some archives
        if body[:1] == b"\x78":
            return _inflate(body, 15, limit, cut)
        return body if _looks_like_markup(body) else _inflate(body, -15, limit, cut)
    if coding in ("br", "zstd"):
        if _looks_like_markup(body):
            return body
        try:
            return _read_all(BrotliReader(io.BytesIO(body)) if coding == "br" else ZstdReader(io.BytesIO(body)), limit)
        except OSError as error:
            raise BadMessage("bad_content_encoding", f"{coding}: {error}") from error
    return body  # identity, or a word that is no coding ("utf-8", "none"), as real servers send


def _inflate(body: bytes, wbits: int, limit: int, cut: bool) -> bytes:
    inflater = zlib.decompressobj(wbits)
    try:
        data = inflater.decompress(body, limit + 1)
    except zlib.error as error:
        raise BadMessage("bad_content_encoding", str(error)) from error
    if len(data) > limit:
        raise BadMessage("too_large", "decoded body", float(len(data)))
    if not inflater.eof and not cut:
        raise BadMessage("bad_content_encoding", "the compressed body ends too early")
    return data


def _read_all(reader: BrotliReader | ZstdReader, limit: int) -> bytes:
    parts: list[bytes] = []
    total = 0
    while part := reader.read(1 << 18):
        parts.append(part)
        total += len(part)
        if total > limit:
            raise BadMessage("too_large", "decoded body", float(total))
    return b"".join(parts)


def _looks_like_markup(body: bytes) -> bool:
    return body.lstrip()[:1] == b"<"
