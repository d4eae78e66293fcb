"""Samples of files: of the same kind and coding, so much of them, and every record whole."""

from __future__ import annotations

import bz2
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crawl2chat.core.errors import InputError
from crawl2chat.core.settings_sources import TableSource
from crawl2chat.pipelines.sources.paths import open_binary
from crawl2chat.pipelines.sources.records import Loss, RawRecord
from crawl2chat.pipelines.sources.table import read_arrow, read_jsonl, read_parquet
from crawl2chat.pipelines.sources.warc import read_warc
from crawl2chat.pipelines.sources.wikipedia import read_wikipedia
from crawl2chat.plan.cut import RUN, Cut
from crawl2chat.plan.cutting import cut_file

ALL = 1e12
MAX = 10 << 20


def opener(path: Path | str) -> Callable[[], BinaryIO]:
    return lambda: open_binary(str(path))


def test_a_quarter_of_the_records_in_runs_of_neighbours() -> None:
    cut = Cut(0.25, ALL, 3)
    where = [cut.piece(record) for record in range(8 * RUN)]
    taken = [record for record, piece in enumerate(where) if piece is not None]
    assert len(taken) == 2 * RUN and taken == [*range(3 * RUN, 4 * RUN), *range(7 * RUN, 8 * RUN)]
    assert where[3 * RUN] == 0 and where[7 * RUN] == 1
    assert [Cut(1.0, ALL, 2).piece(record * RUN) for record in range(4)] == [0, 1, 0, 1]


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz", ".jsonl.bz2"])
def test_lines(ending: str, tmp_path: Path) -> None:
    text = "".join(json.dumps({"text": f"line {number}"}) + "\n" for number in range(1000)).encode()
    packed = {".jsonl": text, ".jsonl.gz": gzip.compress(text), ".jsonl.bz2": bz2.compress(text)}[ending]
    path = tmp_path / f"pages{ending}"
    path.write_bytes(packed)
    found = cut_file("jsonl", str(path), opener(path), tmp_path / "out" / "00", Cut(0.2, ALL, 3), MAX)
    assert [one.name for one in found] == [f"00-{number:02d}{ending}" for number in range(3)]
    assert [one.read_bytes()[:3] for one in found] == [packed[:3]] * 3
    source = TableSource(kind="jsonl", name="web", paths=["x"])
    items = [item for one in found for item in read_jsonl(one.open("rb"), source, MAX)]
    texts = [item.text for item in items if isinstance(item, RawRecord)]
    assert len(texts) == len(set(texts)) == len(items) == 200


def test_tables(tmp_path: Path) -> None:
    table = pa.table({"text": [f"row {number}" for number in range(64 * 100)]})
    pq.write_table(table, tmp_path / "rows.parquet", compression="zstd")
    with pa.ipc.new_file(str(tmp_path / "rows.arrow"), table.schema) as out:
        out.write_table(table)
    for kind, read in (("parquet", read_parquet), ("arrow", read_arrow)):
        path = tmp_path / f"rows.{kind}"
        found = cut_file(kind, str(path), opener(path), tmp_path / kind / "00", Cut(0.25, ALL, 2), MAX)
        source = TableSource(kind=kind, name="web", paths=["x"])
        items = [item for one in found for item in read(one.open("rb"), str(one), source, MAX)]
        assert len(found) == 2 and len(items) == 64 * 24, "3 runs of 8 records of 64 rows"
        assert not any(isinstance(item, Loss) for item in items)
    kept = pq.ParquetFile(tmp_path / "parquet" / "00-00.parquet").metadata.row_group(0).column(0).compression
    assert kept == "ZSTD"


def test_records_of_warc_are_taken_as_they_are(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "debian-multilang-html" / "pages.warc.gz"
    whole = [item.url for item in read_warc(path.open("rb"), MAX) if isinstance(item, RawRecord)]
    found = cut_file("warc", str(path), opener(path), tmp_path / "00", Cut(0.25, ALL, 4), MAX)
    items = [item for one in found for item in read_warc(one.open("rb"), MAX)]
    urls = [item.url for item in items if isinstance(item, RawRecord)]
    assert not [item for item in items if isinstance(item, Loss) and item.reason.startswith(("trunc", "bad", "not_w"))]
    assert len(found) == 4 and set(urls) < set(whole) and 0.15 < len(urls) / len(whole) < 0.35
    assert sum(one.stat().st_size for one in found) < 0.5 * path.stat().st_size


def test_a_plain_file_and_the_beginning_alone(shared_data: Path, tmp_path: Path) -> None:
    plain = tmp_path / "pages.warc"
    with gzip.open(shared_data / "debian-multilang-html" / "pages.warc.gz") as handle:
        plain.write_bytes(handle.read())
    half = plain.stat().st_size / 2
    found = cut_file("warc", str(plain), opener(plain), tmp_path / "cut" / "00", Cut(1.0, half, 1), MAX)
    [one] = found
    assert plain.read_bytes().startswith(one.read_bytes()) and 0.4 < one.stat().st_size / half / 2 < 0.6
    assert not [item for item in read_warc(one.open("rb"), MAX) if isinstance(item, Loss) and "trunc" in item.reason]


def test_one_gzip_stream_is_refused_where_it_is_large(shared_data: Path, tmp_path: Path) -> None:
    with gzip.open(shared_data / "debian-multilang-html" / "pages.warc.gz") as handle:
        (tmp_path / "one.warc.gz").write_bytes(gzip.compress(handle.read()))
    path = tmp_path / "one.warc.gz"
    size = path.stat().st_size
    with pytest.raises(InputError, match="one gzip stream"):
        cut_file("warc", str(path), opener(path), tmp_path / "00", Cut(0.01, size, 2), MAX)
    [whole] = cut_file("warc", str(path), opener(path), tmp_path / "00", Cut(0.5, size, 2), MAX)
    assert whole.read_bytes() == path.read_bytes()


def test_pages_of_a_dump(tmp_path: Path) -> None:
    pages = "".join(
        f"<page><title>T{n}</title><ns>0</ns><id>{n}</id><revision><text>Text {n}.</text></revision></page>\n"
        for n in range(1, 161)
    )
    path = tmp_path / "dump.xml.bz2"
    path.write_bytes(bz2.compress(f"<mediawiki>\n<siteinfo/>\n{pages}</mediawiki>\n".encode()))
    found = cut_file("wikipedia", str(path), opener(path), tmp_path / "out" / "00", Cut(0.1, ALL, 2), MAX)
    items = [item for one in found for item in read_wikipedia(one.open("rb"), "http://x/", MAX)]
    assert [item.title for item in items if isinstance(item, RawRecord)] == [f"T{n}" for n in range(73, 81)] + [
        f"T{n}" for n in range(153, 161)
    ]
    assert len(items) == 16, "no losses: each sample is a whole dump"
