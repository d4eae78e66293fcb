"""WARC/1.1 records, one gzip member each, and the segment files that fetchers append them to.

    warcinfo   at the beginning of each finished file
    request    the request as sent
    response   status line and headers as received, and the body as received: its content-encoding is kept, its
               transfer-encoding is undone (the header stands as X-Crawler-Transfer-Encoding, as Common Crawl writes it)

Block and payload digests are SHA-1 in base 32, the form that WARC tools check.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

Headers = Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Location:
    """Where the records of one fetch stand: a segment file, and the bytes of their gzip members in it."""

    segment: str
    offset: int
    length: int


@dataclass(frozen=True)
class Exchange:
    """One request and its answer. `body` is as received; `truncated` names the limit that cut it."""

    url: str
    when: datetime
    address: str
    request_line: str
    request_headers: Headers
    status_line: str
    response_headers: Headers
    body: bytes
    truncated: str = ""


def sha1(data: bytes) -> str:
    """A digest as WARC writes it."""
    return "sha1:" + base64.b32encode(hashlib.sha1(data).digest()).decode()


def record(kind: str, fields: dict[str, str], block: bytes) -> bytes:
    """One record as a gzip member. Empty fields are left out."""
    head = {"WARC-Type": kind, **fields, "WARC-Block-Digest": sha1(block), "Content-Length": str(len(block))}
    lines = [f"{name}: {value}" for name, value in head.items() if value]
    content = "\r\n".join(["WARC/1.1", *lines, "", ""]).encode() + block + b"\r\n\r\n"
    return gzip.compress(content, compresslevel=6, mtime=0)


def exchange_records(exchange: Exchange) -> bytes:
    """The request and the response record, each pointing at the other."""
    request_id, response_id = _new_id(), _new_id()
    shared = {
        "WARC-Date": exchange.when.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "WARC-Target-URI": exchange.url,
        "WARC-IP-Address": exchange.address,
    }
    request = _http(exchange.request_line, exchange.request_headers)
    response = _http(exchange.status_line, _stored_headers(exchange)) + exchange.body
    return record(
        "request",
        {
            "WARC-Record-ID": request_id,
            **shared,
            "WARC-Concurrent-To": response_id,
            "Content-Type": "application/http; msgtype=request",
            "WARC-Payload-Digest": sha1(b""),
        },
        request,
    ) + record(
        "response",
        {
            "WARC-Record-ID": response_id,
            **shared,
            "WARC-Concurrent-To": request_id,
            "Content-Type": "application/http; msgtype=response",
            "WARC-Payload-Digest": sha1(exchange.body),
            "WARC-Truncated": exchange.truncated,
        },
        response,
    )


def warcinfo(file_name: str, fields: dict[str, str], when: datetime) -> bytes:
    """The record that describes its file."""
    block = "".join(f"{name}: {value}\r\n" for name, value in fields.items()).encode()
    head = {
        "WARC-Record-ID": _new_id(),
        "WARC-Date": when.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "WARC-Filename": file_name,
        "Content-Type": "application/warc-fields",
    }
    return record("warcinfo", head, block)


def _new_id() -> str:
    return f"<urn:uuid:{uuid.uuid4()}>"


def _http(first_line: str, headers: Headers) -> bytes:
    return b"".join([first_line.encode(), b"\r\n", *(b"%s: %s\r\n" % pair for pair in headers), b"\r\n"])


def _stored_headers(exchange: Exchange) -> Iterable[tuple[bytes, bytes]]:
    """The headers as received, but with the body's stored length; what they said before is kept beside."""
    for name, value in exchange.response_headers:
        changed = name.lower() == b"transfer-encoding" or (
            name.lower() == b"content-length" and value.strip() != str(len(exchange.body)).encode()
        )
        yield (b"X-Crawler-" + name if changed else name, value)
        if changed and name.lower() == b"content-length":
            yield (b"Content-Length", str(len(exchange.body)).encode())


class SegmentWriter:
    """An append-only file of one fetcher's own. A location is given out when its bytes are with the system."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name = f"{uuid.uuid4().hex}.warc.gz"
        self._file = (folder / self.name).open("xb")

    def append(self, exchange: Exchange) -> Location:
        """Write one exchange; afterwards it survives the death of this process."""
        content = exchange_records(exchange)
        offset = self._file.tell()
        self._file.write(content)
        self._file.flush()
        return Location(self.name, offset, len(content))

    def close(self) -> None:
        self._file.close()
