"""HTTP responses: heads, chunks, content codings, and what is refused."""

from __future__ import annotations

import gzip
import io
import zlib

import pytest
from crawl2chat.pipelines.sources.http_message import BadMessage, dechunk, decode_body, parse_response
from fastwarc.stream_io import BrotliWriter

HTML = b"<html><body>h\xc3\xa9llo</body></html>"


CHUNKED = b"5;x=y\r\n" + HTML[:5] + b"\r\n%x\r\n" % len(HTML[5:]) + HTML[5:] + b"\r\n0\r\n\r\n"


def response(headers: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: Text/HTML; Charset='utf-8'\r\n" + headers + b"\r\n" + body


def decoded(headers: bytes, body: bytes, limit: int = 1 << 20, cut: bool = False) -> bytes:
    return decode_body(parse_response(response(headers, body)), limit, cut)


def brotli(data: bytes) -> bytes:
    buffer = io.BytesIO()
    writer = BrotliWriter(buffer)
    writer.write(data)
    writer.close()
    return buffer.getvalue()


def test_head_is_parsed() -> None:
    parsed = parse_response(response(b"X-Folded: a\r\n  b\r\nno colon here\r\n", HTML))
    assert (parsed.status, parsed.mime, parsed.charset, parsed.body) == (200, "text/html", "utf-8", HTML)
    assert parsed.headers["x-folded"] == "a b"


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (b"", HTML),
        (b"Transfer-Encoding: chunked\r\n", CHUNKED),
        (b"Transfer-Encoding: chunked\r\n", HTML),  # stored decoded
        (b"Content-Encoding: gzip\r\n", gzip.compress(HTML, mtime=0)),
        (b"Content-Encoding: gzip\r\n", HTML),  # stored decoded
        (b"Content-Encoding: deflate\r\n", zlib.compress(HTML)),
        (b"Content-Encoding: deflate\r\n", zlib.compress(HTML, wbits=-15)),
        (b"Content-Encoding: br\r\n", brotli(HTML)),
        (b"Content-Encoding: utf-8\r\n", HTML),
        (b"Content-Encoding: gzip, br\r\n", brotli(gzip.compress(HTML, mtime=0))),
        (b"Content-Encoding: deflate, gzip\r\n", gzip.compress(zlib.compress(HTML), mtime=0)),
    ],
)  # fmt: skip
def test_codings_are_undone(headers: bytes, body: bytes) -> None:
    assert decoded(headers, body) == HTML


@pytest.mark.parametrize(
    ("headers", "body", "reason"),
    [
        (b"Transfer-Encoding: chunked\r\n", b"3\r\nabcde\r\n0\r\n\r\n", "bad_chunk"),
        (b"Transfer-Encoding: chunked\r\n", b"3\r\nabc\r\nzz\r\n", "bad_chunk"),
        (b"Transfer-Encoding: chunked\r\n", b"ff\r\nabc", "bad_chunk"),
        (b"Content-Encoding: gzip\r\n", gzip.compress(HTML, mtime=0)[:-12], "bad_content_encoding"),
        (b"Content-Encoding: br\r\n", b"no brotli at all", "bad_content_encoding"),
        (b"Content-Encoding: deflate\r\n", b"\xff\xff\xff", "bad_content_encoding"),
        (b"Content-Encoding: gzip\r\n", gzip.compress(b"a" * 3_000_000, mtime=0), "too_large"),
        (b"Content-Encoding: br\r\n", brotli(b"a" * 3_000_000), "too_large"),
    ],
)
def test_broken_bodies_have_their_reason(headers: bytes, body: bytes, reason: str) -> None:
    with pytest.raises(BadMessage) as caught:
        decoded(headers, body)
    assert caught.value.reason == reason


def test_a_body_that_the_crawler_cut_may_lack_its_end() -> None:
    assert dechunk(b"5\r\nabcde\r\nff\r\nfg", cut=True) == b"abcdefg"
    assert HTML.startswith(decoded(b"Content-Encoding: gzip\r\n", gzip.compress(HTML)[:-12], cut=True))


def test_a_block_without_a_status_line_is_refused() -> None:
    with pytest.raises(BadMessage) as caught:
        parse_response(HTML)
    assert caught.value.reason == "no_http_headers"


@pytest.mark.parametrize("coding", [b"gzip", b"br", b"deflate", b"zstd"])
def test_an_empty_body_has_nothing_to_decode(coding: bytes) -> None:
    assert decoded(b"Content-Encoding: " + coding + b"\r\n", b"") == b""
