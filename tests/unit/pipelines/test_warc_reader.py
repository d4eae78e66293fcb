"""WARC: every sample file, broken records with their reason and offset, random damage, FastWARC as the oracle."""

from __future__ import annotations

import gzip
import io
import random
import re
from collections import Counter
from pathlib import Path

import pytest
from crawl2chat.pipelines.sources.records import Item, Loss, Other, RawRecord
from crawl2chat.pipelines.sources.warc import read_warc
from fastwarc.warc import ArchiveIterator, WarcRecordType

MAX = 10 << 20
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
PAGE = b"<html><body>page %d</body></html>"


def items(data: bytes, max_bytes: int = MAX) -> list[Item]:
    return list(read_warc(io.BytesIO(data), max_bytes))


def pages(found: list[Item]) -> list[RawRecord]:
    return [item for item in found if isinstance(item, RawRecord)]


def losses(found: list[Item]) -> list[Loss]:
    return [item for item in found if isinstance(item, Loss)]


def record(number: int, kind: str = "response", body: bytes | None = None, length: int | None = None) -> bytes:
    http = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + (PAGE % number)
    block = http if body is None else body
    header = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: http://a.test/{number}\r\n"
        "WARC-Date: 2024-01-01T00:00:00Z\r\n"
        f"Content-Type: application/http; msgtype=response\r\n"
        f"Content-Length: {len(block) if length is None else length}\r\n\r\n"
    )
    return header.encode() + block + b"\r\n\r\n"


def test_every_sample_file_has_the_records_its_source_page_counts(shared_data: Path) -> None:
    table = (shared_data / "warc-samples" / "SOURCE.md").read_text()
    rows = re.findall(r"\| (\S+arc\S*) \| \d+ \| (\d+) records, (\d+) response", table)
    assert len(rows) >= 14
    for name, records, responses in rows:
        found = items((shared_data / "warc-samples" / name).read_bytes())
        asked = sum(1 for item in found if not isinstance(item, Other))
        assert (len(found), asked) == (int(records), int(responses)), name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("warcio-example-trunc.warc", {(1197, "bad_length")}),
        ("warcio-example.arc.gz", set()),
        ("cc_net-sample.warc.wet", {(0, "bad_length")}),
    ],
)
def test_broken_samples_name_reason_and_offset(shared_data: Path, name: str, expected: set[tuple[int, str]]) -> None:
    found = items((shared_data / "warc-samples" / name).read_bytes())
    assert {(loss.offset, loss.reason) for loss in losses(found)} == expected


def test_record_behind_the_broken_one_is_still_read(shared_data: Path) -> None:
    found = items((shared_data / "warc-samples" / "warcio-example-trunc.warc").read_bytes())
    kinds = [item.kind if isinstance(item, Other) else item.reason for item in found if not isinstance(item, RawRecord)]
    assert kinds == ["warcinfo", "warcinfo", "bad_length", "request"]


def fastwarc_bodies(path: Path) -> dict[tuple[int, str], bytes | None]:
    """Bodies by offset and URL; None for those with a coding (FastWARC refuses bodies that were stored decoded)."""
    bodies: dict[tuple[int, str], bytes | None] = {}
    with path.open("rb") as handle:
        for entry in ArchiveIterator(handle, record_types=WarcRecordType.response):
            names = {name.lower() for name in entry.http_headers.asdict()} if entry.http_headers else set()
            coded = bool(names & {"transfer-encoding", "content-encoding"})
            key = (entry.stream_pos, str(entry.headers["WARC-Target-URI"]).strip("<>"))
            bodies[key] = None if coded else entry.reader.read()
    return bodies


def test_same_pages_as_fastwarc(shared_data: Path) -> None:
    compared = 0
    for path in sorted((shared_data / "warc-samples").glob("*.warc.gz")):
        oracle = fastwarc_bodies(path)
        for page in pages(items(path.read_bytes())):
            if (page.offset, page.url) not in oracle:
                assert "+" in page.place, "only a record inside a larger gzip member has another offset"
                continue
            body = oracle[page.offset, page.url]
            assert body in (None, page.html), (path.name, page.offset)
            compared += body is not None
    assert compared > 50


def test_truncated_member_is_named_and_the_rest_kept() -> None:
    members = [gzip.compress(record(n), mtime=0) for n in range(3)]
    cut = members[0] + members[1][: len(members[1]) // 2] + members[2]
    found = items(cut)
    assert [page.url for page in pages(found)] == ["http://a.test/0", "http://a.test/2"]
    assert [(loss.offset, loss.reason) for loss in losses(found)] == [(len(members[0]), "bad_gzip")]
    found = items(members[0] + members[1][:-9])
    assert [page.url for page in pages(found)] == ["http://a.test/0"]
    assert [(loss.offset, loss.reason, loss.url) for loss in losses(found)] == [
        (len(members[0]), "truncated_gzip", "http://a.test/1")
    ]


def test_wrong_checksum_loses_the_record() -> None:
    members = [bytearray(gzip.compress(record(n), mtime=0)) for n in range(2)]
    members[0][-6] ^= 1
    found = items(b"".join(members))
    assert [(loss.offset, loss.reason) for loss in losses(found)] == [(0, "bad_gzip")]
    assert [page.url for page in pages(found)] == ["http://a.test/1"]


@pytest.mark.parametrize("wrong", [-20, -3, 7, 40, 250, 10**12])
@pytest.mark.parametrize("kind", ["response", "request"])
@pytest.mark.parametrize("compress", [False, True])
def test_wrong_length_loses_one_record_only(wrong: int, kind: str, compress: bool) -> None:
    block = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + PAGE % 1
    parts = [record(0), record(1, kind, length=len(block) + 15 + wrong), record(2), record(3)]
    found = items(b"".join(gzip.compress(part) if compress else part for part in parts))
    assert [page.url[-1] for page in pages(found)] == ["0", "2", "3"]
    assert len(losses(found)) == 1
    assert losses(found)[0].reason in ("bad_length", "truncated")
    assert losses(found)[0].offset == (len(gzip.compress(parts[0])) if compress else len(parts[0]))


def test_several_records_in_one_member_have_distinct_places() -> None:
    found = pages(items(gzip.compress(record(0) + record(1) + record(2))))
    assert len(found) == 3
    assert len({page.place for page in found}) == 3
    assert {page.offset for page in found} == {0}


@pytest.mark.parametrize(
    ("body", "reason", "value"),
    [
        (b"<html>no head</html>", "no_http_headers", None),
        (b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\n\r\n<html>", "http_status", 404.0),
        (b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\n\x89PNG", "not_html", None),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\nabcdef\r\n0\r\n\r\n", "bad_chunk", None),
        (OK + b"Content-Encoding: gzip\r\n\r\n\x1f\x8bgarbage", "bad_content_encoding", None),
    ],
)  # fmt: skip
def test_unreadable_responses_have_their_reason(body: bytes, reason: str, value: float | None) -> None:
    found = items(record(0) + record(1, body=body) + record(2))
    assert [(loss.reason, loss.value, loss.offset) for loss in losses(found)] == [(reason, value, len(record(0)))]
    assert len(pages(found)) == 2


def test_missing_content_length_and_unended_header() -> None:
    no_length = record(1).replace(b"Content-Length", b"Content-Langth")
    found = items(record(0) + no_length + record(2))
    assert [loss.reason for loss in losses(found)] == ["bad_length"]
    assert len(pages(found)) == 2
    endless = b"WARC/1.0\r\nWARC-Type: response\r\n" + b"X: y\r\n" * 20_000
    found = items(record(0) + endless + record(2))
    assert [loss.reason for loss in losses(found)] == ["bad_header"]
    assert len(pages(found)) == 2


def test_large_bodies_are_skipped_not_held() -> None:
    big = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + b"x" * 500_000
    found = items(record(0) + record(1, body=big) + record(2), max_bytes=1000)
    assert [(loss.reason, loss.value) for loss in losses(found)] == [("too_large", float(len(big)))]
    assert len(pages(found)) == 2
    bomb = gzip.compress(b"<html>" + b"a" * 5_000_000)
    body = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\n\r\n" + bomb
    assert [loss.reason for loss in losses(items(record(1, body=body), max_bytes=100_000))] == ["too_large"]


def arc(number: int, scheme: str = "http", version: int = 1) -> bytes:
    block = b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n" + (PAGE % number)
    more = b"200 checksum - 123 file.arc.gz " if version == 2 else b""
    return b"%s://a.test/%d 10.0.0.1 20070302010203 text/html %s%d\n%s\n" % (
        scheme.encode(), number, more, len(block), block
    )  # fmt: skip


ARC_HEAD = b"filedesc://x.arc 0.0.0.0 20070302010203 text/plain 21\n1 0 Someone\nURL IP...\n\n"


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("compress", [False, True])
def test_arc_of_both_versions_plain_and_gzip(version: int, compress: bool) -> None:
    parts = [ARC_HEAD, *(arc(n, "dns" if n == 1 else "https", version) for n in range(4))]
    found = items(b"".join(gzip.compress(part) if compress else part for part in parts))
    assert [other.kind for other in found if isinstance(other, Other)] == ["filedesc", "dns"]
    assert losses(found) == []
    assert [page.url for page in pages(found)] == [f"https://a.test/{n}" for n in (0, 2, 3)]
    assert pages(found)[0].date == "2007-03-02T01:02:03Z"
    assert pages(found)[1].html == PAGE % 2


@pytest.mark.parametrize("compress", [False, True])
def test_a_broken_arc_record_costs_only_itself(compress: bool) -> None:
    broken = arc(1).replace(b"text/html 7", b"text/html 6")
    assert broken != arc(1)
    found = items(b"".join(gzip.compress(part) if compress else part for part in [arc(0), broken, arc(2)]))
    assert [page.url[-1] for page in pages(found)] == ["0", "2"]
    assert [loss.reason for loss in losses(found)] == ["bad_length"]
    cut = gzip.compress(arc(0))[:-20] + b"".join(gzip.compress(arc(n)) for n in (1, 2))
    assert [page.url[-1] for page in pages(items(cut))] == ["1", "2"]


def wet(text: bytes, length: int | None = None) -> bytes:
    head = "WARC/1.0\r\nWARC-Type: conversion\r\nWARC-Target-URI: http://a.test/\r\nContent-Type: text/plain\r\n"
    return f"{head}Content-Length: {len(text) if length is None else length}\r\n\r\n".encode() + text + b"\r\n\r\n"


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("wrong", [0, -5, 3, 40])
def test_texts_of_wet_are_read_to_the_next_record_when_their_length_is_wrong(wrong: int, compress: bool) -> None:
    text = "Ein längerer Text\nüber zwei Zeilen".encode()
    parts = [wet(text, len(text) + wrong), record(1, "warcinfo"), wet(b"end")]
    found = items(b"".join(gzip.compress(part) if compress else part for part in parts))
    assert [page.text for page in pages(found)] == [text.decode(), "end"]
    assert pages(found)[0].html is None
    assert losses(found) == []


def test_texts_above_the_limit_and_cut_texts_are_losses() -> None:
    found = items(wet(b"x" * 5000) + wet(b"y" * 400_000) + wet(b"fits"), max_bytes=1000)
    assert [(loss.reason, loss.value) for loss in losses(found)] == [("too_large", 5000.0), ("too_large", 400_000.0)]
    assert [page.text for page in pages(found)] == ["fits"]
    assert [loss.reason for loss in losses(items(wet(b"never complete")[:-12]))] == ["truncated"]


def test_random_damage_never_crashes_and_every_place_is_distinct(shared_data: Path) -> None:
    rng = random.Random(20)
    names = ["resiliparse-warcfile.warc.gz", "warcio-example.warc.gz", "warcio-example-iana.org-chunked.warc",
             "pywb-dupes.warc.gz", "warcio-example-bad-non-chunked.warc.gz"]  # fmt: skip
    reasons: Counter[str] = Counter()
    for round_ in range(150):
        data = bytearray((shared_data / "warc-samples" / names[round_ % len(names)]).read_bytes())
        clean = len(items(bytes(data)))
        for _ in range(rng.choice([1, 1, 3, 10])):
            if rng.random() < 0.7:
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            else:
                start = rng.randrange(len(data))
                del data[start : start + rng.randrange(1, 2000)]
        found = items(bytes(data))
        outcomes = [item for item in found if not isinstance(item, Other)]
        assert len({item.place for item in outcomes}) == len(outcomes)
        reasons.update(loss.reason for loss in losses(found))
        assert len(found) <= clean + 40
    assert {"bad_gzip", "bad_length", "truncated_gzip"} <= set(reasons)


def test_one_flipped_bit_costs_at_most_one_compressed_record(shared_data: Path) -> None:
    data = (shared_data / "warc-samples" / "resiliparse-warcfile.warc.gz").read_bytes()
    clean = {page.offset: page.html for page in pages(items(data))}
    rng = random.Random(4)
    for _ in range(40):
        broken = bytearray(data)
        broken[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        found = items(bytes(broken))
        kept = {page.offset: page.html for page in pages(found)}
        assert len(clean) - len(kept) <= 1
        assert all(kept[offset] == clean[offset] for offset in kept), "a damaged page must not be kept"
        assert len(losses(found)) <= 1 or len(kept) == len(clean)
