from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from crawl2chat.pipelines.sources.crawl.finish import missing_segments, write_results
from fastwarc.warc import ArchiveIterator, WarcRecordType
from warcio.archiveiterator import ArchiveIterator as WarcioIterator


@pytest.fixture
def results(web: Any, tools: Any, tmp_path: Path) -> tuple[Any, Path]:
    """A crawl of a few kinds of answers, finished."""
    packed = gzip.compress(b"<p>packed</p>")
    chunked = b"5\r\n<p>ch\r\n9\r\nunked</p>\r\n0\r\n\r\n"
    web.answers |= {
        "/robots.txt": (200, {}, b"User-agent: *\nDisallow: /no"),
        "/": tools.page("/packed", "/chunked", "/long", "/moved", "/no", "/gone"),
        "/packed": (200, {**tools.html, "Content-Encoding": "gzip"}, packed),
        "/chunked": (200, {**tools.html, "Transfer-Encoding": "chunked"}, chunked),
        "/long": (200, tools.html, b"<p>" + b"long " * 1000),
        "/moved": (301, {"Location": "/"}, b""),
    }
    source = tools.source(web.url(), max_page_bytes=1000, warc_files=2)
    schedule = tools.crawl(source, tmp_path, fetchers=2)
    entries = write_results(schedule.frontier, source, tmp_path, tmp_path)
    assert sum(entry.rows for entry in entries if "/" in entry.path) == 4  # pages in warc/
    return web, tmp_path


def warcs(folder: Path) -> list[Path]:
    return [*sorted((folder / "warc").iterdir()), folder / "other_answers.warc.gz"]


def test_digests_verify(results: tuple[Any, Path]) -> None:
    _, folder = results
    kinds: dict[str, int] = {}
    for path in warcs(folder):
        with path.open("rb") as handle:
            for record in WarcioIterator(handle, check_digests="raise"):
                record.content_stream().read()
                assert record.digest_checker.passed
                kinds[record.rec_type] = kinds.get(record.rec_type, 0) + 1
        for record in ArchiveIterator(path.open("rb"), parse_http=False):
            assert record.verify_block_digest()
    assert kinds == {"warcinfo": 3, "request": 7, "response": 7}  # four pages; robots.txt, /moved and /gone


def test_a_damaged_record_is_noticed(results: tuple[Any, Path]) -> None:
    """The check above can fail: one changed byte in a body breaks its digest."""
    _, folder = results
    content = b"".join(gzip.decompress(path.read_bytes()) for path in warcs(folder))
    assert b"<p>long" in content
    damaged = folder / "damaged.warc"
    damaged.write_bytes(content.replace(b"<p>long", b"<q>long"))
    passed = []
    with damaged.open("rb") as handle:
        for record in WarcioIterator(handle, check_digests=True):
            record.content_stream().read()
            passed.append(record.digest_checker.passed)
    assert passed.count(False) == 1


def test_records_hold_what_was_received(results: tuple[Any, Path]) -> None:
    web, folder = results
    bodies, urls = {}, []
    for path in warcs(folder)[:-1]:
        names = []
        for record in ArchiveIterator(path.open("rb"), record_types=WarcRecordType.response):
            url = record.headers["WARC-Target-URI"]
            names.append(url)
            assert record.headers["WARC-IP-Address"] == "127.0.0.1" and record.headers["WARC-Concurrent-To"]
            bodies[url] = (record.reader.read(), dict(record.http_headers), dict(record.headers))
        assert names == sorted(names)
        urls += names
    assert sorted(urls) == sorted(web.url(path) for path in ("/", "/packed", "/chunked", "/long"))
    body, headers, _ = bodies[web.url("/packed")]
    assert gzip.decompress(body) == b"<p>packed</p>" and headers["Content-Encoding"] == "gzip"
    body, headers, _ = bodies[web.url("/chunked")]
    assert body == b"<p>chunked</p>" and headers["X-Crawler-Transfer-Encoding"] == "chunked"
    body, headers, fields = bodies[web.url("/long")]
    assert len(body) == 1000 and fields["WARC-Truncated"] == "length"
    assert (headers["Content-Length"], headers["X-Crawler-Content-Length"]) == ("1000", "5003")


def test_the_log_names_every_url_without_a_page(results: tuple[Any, Path]) -> None:
    web, folder = results
    rows = pq.read_table(folder / "crawl_log.parquet").to_pylist()
    assert {(row["url"], row["state"], row["reason"]) for row in rows} == {
        (web.url("/gone"), "failed", "http_404"),
        (web.url("/moved"), "redirect", ""),
        (web.url("/no"), "refused", "robots"),
    }
    assert all(row["parent"] == web.url() and row["depth"] == 1 for row in rows)


def test_a_cut_segment_is_noticed(web: Any, tools: Any, tmp_path: Path) -> None:
    web.answers["/"] = tools.page()
    frontier = tools.crawl(tools.source(web.url()), tmp_path).frontier
    assert missing_segments(frontier, tmp_path / "segments") == []
    segment = tmp_path / "segments" / frontier.segments()[0][0]
    segment.write_bytes(segment.read_bytes()[:-1])
    assert missing_segments(frontier, tmp_path / "segments") == [segment.name]
