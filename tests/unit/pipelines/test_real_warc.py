"""Real WARC, WET and ARC files, broken as found or by one change: what is kept, reason and offset of each loss.

Each case goes through the reader, and through a whole unit of the stage `extract` into documents and ledger.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from crawl2chat.core.recipe import Recipe
from crawl2chat.core.units import Unit
from crawl2chat.pipelines.extract_stage import EXTRACT, extract_unit
from crawl2chat.pipelines.sources.records import Loss, Other, RawRecord
from crawl2chat.pipelines.sources.warc import read_warc

CHUNKED = "warcio-example-iana.org-chunked.warc"
IANA = "http://www.iana.org/"
TWICE = ["warcinfo", "request", "warcinfo", "request"]
CC_NEWS = "https://creativecommons.org/2024"


@dataclass(frozen=True)
class Case:
    """`kept`: (offset, url) of each page; `lost`: (offset, reason) of each loss; `others`: the other records."""

    name: str
    kept: list[tuple[int, str]]
    lost: list[tuple[int, str]]
    others: list[str]
    change: Callable[[bytes], bytes] = lambda data: data


def _wrong_chunk(data: bytes) -> bytes:
    """A chunk's size one too small, in the first of two copies of the file."""
    assert data.count(b"\r\n001c37\r\n") == 1
    return data.replace(b"\r\n001c37\r\n", b"\r\n001c36\r\n") + data


def _without_http_headers(data: bytes) -> bytes:
    """The response's HTTP head gone and its Content-Length right, in the first of two copies of the file."""
    head = re.search(rb"HTTP/1\.1 200 OK\r\n.*?\r\n\r\n", data, re.DOTALL)
    assert head is not None and data.count(b"Content-Length: 7566") == 1
    length = b"Content-Length: %d" % (7566 - len(head[0]))
    return data.replace(head[0], b"", 1).replace(b"Content-Length: 7566", length) + data


CASES = {
    # "bad" to strict readers, because all records share one gzip member; every one of them is whole
    "one_member": Case(
        "warcio-example-bad-non-chunked.warc.gz",
        kept=[(0, "http://example.com/")],
        lost=[],
        others=["warcinfo", "warcinfo", "request", "revisit", "request"],
    ),
    "wrong_length": Case(
        "warcio-example-trunc.warc", kept=[], lost=[(1197, "bad_length")], others=["warcinfo", "warcinfo", "request"]
    ),
    "arc": Case("warcio-example.arc.gz", kept=[(171, "http://example.com/")], lost=[], others=["filedesc"]),
    "arc_cut": Case(
        "warcio-example.arc.gz",
        kept=[],
        lost=[(171, "truncated_gzip")],
        others=["filedesc"],
        change=lambda data: data[:600],
    ),
    # its lengths count characters, and its line ends were changed: the texts end where the next record begins
    "wet": Case(
        "cc_net-sample.warc.wet",
        kept=[
            (617, "http://sample_english.com"),
            (1310, "http://sample_chinese.zh"),
            (1959, "http://sample_russian.ru"),
        ],
        lost=[(0, "bad_length")],
        others=[],
    ),
    "cut_member": Case(
        "dolma-sample-0001.warc.gz",
        kept=[
            (856, "https://creativecommons.org/"),
            (12746, "https://creativecommons.org/mission/"),
            (
                24218,
                f"{CC_NEWS}/03/28/cc-joins-civil-society-letter-urging-u-s-to-support-openness-and-transparency-in-ai/",
            ),
            (
                35216,
                f"{CC_NEWS}/04/23/cc-at-wipo-slow-progress-on-copyright-exceptions-for-cultural-heritage-institutions/",
            ),
            (46426, "https://allenai.org/"),
        ],
        lost=[(78027, "truncated_gzip")],
        others=["warcinfo", *["request"] * 6],
        change=lambda data: data[:100_000],
    ),
    # no real file at hand has these two, so that a real record is changed; the file's second copy is read on
    "wrong_chunk": Case(CHUNKED, [(9236, IANA)], [(405, "bad_chunk")], TWICE, _wrong_chunk),
    "no_http_headers": Case(CHUNKED, [(8908, IANA)], [(405, "no_http_headers")], TWICE, _without_http_headers),
}


@pytest.fixture(params=CASES, scope="module")
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture(scope="module")
def data(case: Case, shared_data: Path) -> bytes:
    return case.change((shared_data / "warc-samples" / case.name).read_bytes())


def test_the_reader_keeps_what_is_sound_and_names_what_is_not(case: Case, data: bytes) -> None:
    found = list(read_warc(io.BytesIO(data), 10 << 20))
    assert [(page.offset, page.url) for page in found if isinstance(page, RawRecord)] == case.kept
    assert [(loss.offset, loss.reason) for loss in found if isinstance(loss, Loss)] == case.lost
    assert [other.kind for other in found if isinstance(other, Other)] == case.others


def test_the_unit_has_a_document_or_a_ledger_row_for_each(case: Case, data: bytes, tmp_path: Path) -> None:
    path = tmp_path / case.name
    path.write_bytes(data)
    filters = dict.fromkeys(("gopher_repetition", "gopher_quality", "c4", "fineweb"))
    source = {"kind": "warc", "name": "web", "paths": [str(path)]}
    recipe = Recipe.model_validate({"name": "r", "sources": [source], "language": {"keep": []}, "filters": filters})
    spec = {"source": "web", "file": str(path), "origin": str(path), "key": case.name}
    report = extract_unit(Unit(name="web-00000", spec=spec), tmp_path, EXTRACT.config(recipe))
    documents = pq.read_table(tmp_path / "documents" / "web-00000.parquet").to_pylist()
    ledger = pq.read_table(tmp_path / "dropped" / "web-00000.parquet").to_pylist()
    assert [(row["origin_offset"], row["url"]) for row in documents] == case.kept
    assert [(row["origin_offset"], row["reason"]) for row in ledger] == case.lost
    assert {row["origin_file"] for row in [*documents, *ledger]} == {str(path)}
    assert all(row["text"] for row in documents)
    assert len({row["doc_id"] for row in [*documents, *ledger]}) == len(case.kept) + len(case.lost)
    expected = {"documents_in": len(case.kept) + len(case.lost), "documents": len(case.kept), "dropped": len(case.lost)}
    assert {name: report.counters[name] for name in expected} == expected
