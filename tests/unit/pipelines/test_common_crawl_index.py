"""Records of Common Crawl that are chosen by its index, and how they are fetched."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from crawl2chat.core.errors import InputError
from crawl2chat.pipelines.sources.common_crawl import crawl_files, index_files
from crawl2chat.pipelines.sources.records import Loss, Other
from crawl2chat.pipelines.sources.selection import coalesce, unit_specs

from .common_crawl_run import SELECT, local, places, select, source


def test_all_records_of_the_index_are_what_the_whole_files_give(crawl_mirror: Any, tmp_path: Path) -> None:
    _, found = select(crawl_mirror, tmp_path)
    expected = [
        (path, item.place, item.url, getattr(item, "html", None))
        for path in sorted(crawl_files(source(crawl_mirror)))
        for item in local(crawl_mirror, path)
        if not isinstance(item, Other)
    ]
    assert len(expected) > 90
    got = [
        (item.key, item.place, item.url, getattr(item, "html", None)) for item in found if not isinstance(item, Other)
    ]
    assert got == expected
    assert {item.file for item in found if not isinstance(item, Other)} == {path for path, *_ in expected}


@pytest.mark.parametrize(
    ("chosen", "holds"),
    [
        ({"domains": ["creativecommons.org"]}, lambda row: row["url_host_registered_domain"] == "creativecommons.org"),
        ({"languages": ["e.g", "en", "eng|deu", "deu"]}, lambda row: row["content_languages"].startswith("deu")),
        ({"languages": ["deu"]}, lambda row: row["content_languages"].startswith("deu")),
        ({"mimes": ["text/html"]}, lambda row: row["content_mime_detected"] == "text/html"),
        ({"status": [200]}, lambda row: row["fetch_status"] == 200),
        (
            {"languages": ["eng", "fra"], "status": [200, 404], "mimes": ["text/html", "image/png"]},
            lambda row: (
                row["content_languages"] == "eng"
                and row["fetch_status"] in (200, 404)
                and row["content_mime_detected"] in ("text/html", "image/png")
            ),
        ),
    ],
)  # fmt: skip
def test_filters_choose_rows_of_the_index(crawl_mirror: Any, tmp_path: Path, chosen: Any, holds: Any) -> None:
    _, found = select(crawl_mirror, tmp_path, select={**SELECT, **chosen})
    files = [crawl_mirror.folder / path for path in index_files(source(crawl_mirror, select=SELECT))]
    rows = [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]
    expected = sorted((row["warc_filename"], row["warc_record_offset"]) for row in rows if holds(row))
    assert 0 < len(expected) < len(rows)
    assert [(key, int(place)) for key, place in places(found)] == expected


def test_only_the_files_that_are_chosen(crawl_mirror: Any, tmp_path: Path) -> None:
    _, found = select(crawl_mirror, tmp_path, files=[1, 2])
    assert {key for key, _ in places(found)} == set(crawl_files(source(crawl_mirror, files=[1, 2])))


@pytest.mark.parametrize("size", [1, 7, 30, 1000])
def test_units_share_the_records_out_and_do_not_depend_on_the_index_files_order(
    crawl_mirror: Any, tmp_path: Path, size: int
) -> None:
    specs, found = select(crawl_mirror, tmp_path, records_per_unit=size)
    _, at_once = select(crawl_mirror, tmp_path)
    assert places(found) == places(at_once), "each record once, in order"
    assert (len(specs) == 1) == (size == 1000)
    if size == 1:
        assert len(specs) == len(at_once)
    selection = tmp_path / "selection" / "cc"
    shutil.move(selection / "00000.parquet", selection / "00009.parquet")
    assert list(unit_specs(selection, size)) == specs


def test_neighbours_are_fetched_together_and_gaps_are_not(crawl_mirror: Any, tmp_path: Path) -> None:
    _, found = select(crawl_mirror, tmp_path, select={**SELECT, "domains": ["creativecommons.org"]})
    asked = [request for request in crawl_mirror.requests if "/warc/" in request.path]
    sizes = {path: (crawl_mirror.folder / path).stat().st_size for path in {request.path for request in asked}}
    assert len(asked) < len(places(found))
    assert sum(request.sent for request in asked) < sum(sizes.values())
    crawl_mirror.requests.clear()
    _, again = select(
        crawl_mirror, tmp_path, access={"gap_bytes": 0}, select={**SELECT, "domains": ["creativecommons.org"]}
    )
    assert again == found
    assert len([request for request in crawl_mirror.requests if "/warc/" in request.path]) > len(asked)


def test_coalescing() -> None:
    records = [(0, 10), (10, 10), (25, 5), (100, 10), (111, 10)]
    assert list(coalesce(records, 5, 1000)) == [[(0, 10), (10, 10), (25, 5)], [(100, 10), (111, 10)]]
    assert list(coalesce(records, 0, 1000)) == [[(0, 10), (10, 10)], [(25, 5)], [(100, 10)], [(111, 10)]]
    assert list(coalesce(records, 1000, 20)) == [[(0, 10), (10, 10)], [(25, 5)], [(100, 10)], [(111, 10)]]
    assert list(coalesce([(5, 1000)], 0, 20)) == [[(5, 1000)]], "a record larger than the limit still comes"


def test_an_index_that_does_not_fit_its_files_costs_the_records_only(crawl_mirror: Any, tmp_path: Path) -> None:
    _, sound = select(crawl_mirror, tmp_path)
    paths = sorted(crawl_files(source(crawl_mirror)))
    (crawl_mirror.folder / paths[0]).unlink()
    file = crawl_mirror.folder / paths[1]
    file.write_bytes(file.read_bytes()[:100_000])
    _, found = select(crawl_mirror, tmp_path)
    assert [key for key, _ in places(found)] == [key for key, _ in places(sound)], "a row for each record all the same"
    reasons = {(item.key, item.reason) for item in found if isinstance(item, Loss)}
    assert (paths[0], "missing_file") in reasons
    assert {(paths[1], "truncated_gzip"), (paths[1], "truncated")} <= reasons


def test_an_index_without_the_columns_is_refused(crawl_mirror: Any, tmp_path: Path) -> None:
    file = crawl_mirror.folder / index_files(source(crawl_mirror, select=SELECT))[0]
    pq.write_table(pq.ParquetFile(file).read().drop_columns(["content_languages"]), file)
    with pytest.raises(InputError, match="content_languages"):
        select(crawl_mirror, tmp_path, select={**SELECT, "languages": ["eng"]})
