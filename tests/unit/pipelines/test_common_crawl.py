"""Common Crawl from a mirror over HTTP: whole files and selected records, and a server that fails in every way."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from crawl2chat.core.errors import InputError, StageError
from crawl2chat.core.recipe import Recipe
from crawl2chat.core.settings_sources import Access, CommonCrawlSource
from crawl2chat.core.units import Unit
from crawl2chat.pipelines.reading import read
from crawl2chat.pipelines.selecting import select_unit
from crawl2chat.pipelines.sources.common_crawl import crawl_files, index_files
from crawl2chat.pipelines.sources.pace import Pace
from crawl2chat.pipelines.sources.paths import check_sources
from crawl2chat.pipelines.sources.records import Item, Loss, Other, RawRecord
from crawl2chat.pipelines.sources.remote import Remote
from crawl2chat.pipelines.sources.selection import coalesce, unit_specs
from crawl2chat.pipelines.sources.warc import read_warc
from fsspec.implementations.memory import MemoryFileSystem
from pydantic import ValidationError

MAX = 10 << 20
QUICK = {"retry_wait": 0.01, "requests_per_second": 1000.0}
SELECT: dict[str, Any] = {"mimes": [], "status": []}


def source(mirror: Any, **settings: Any) -> CommonCrawlSource:
    address = mirror if isinstance(mirror, str) else mirror.url
    access = {**QUICK, **settings.pop("access", {})}
    settings = {"name": "cc", "crawl": "CC-MAIN-2024-10", "mirror": address, "access": access, **settings}
    return CommonCrawlSource(kind="common_crawl", **settings)


def whole(mirror: Any, path: str, **settings: Any) -> list[Item]:
    return list(read(source(mirror, **settings), {"file": path, "origin": path, "key": path}, MAX))


def local(mirror: Any, path: str) -> list[Item]:
    with (mirror.folder / path).open("rb") as handle:
        return list(read_warc(handle, MAX))


def select(mirror: Any, folder: Path, records_per_unit: int = 20_000, **settings: Any) -> tuple[list[Any], list[Item]]:
    """The specs of a selection's units, and the items of all of them."""
    chosen = source(mirror, **{"select": SELECT, **settings})
    for number, file in enumerate(index_files(chosen)):
        unit = Unit(name=f"i-{number}", spec={"file": file, "number": number})
        files = crawl_files(chosen) if chosen.files is not None else None
        select_unit(unit, folder, {}, source=chosen, chosen=files)
    selection = folder / "selection" / "cc"
    specs = list(unit_specs(selection, records_per_unit))
    return specs, [item for spec in specs for item in read(chosen, {**spec, "selection": str(selection)}, MAX)]


def places(items: list[Item]) -> list[tuple[str, str]]:
    return [(item.key, item.place) for item in items if not isinstance(item, Other)]


# ── whole files ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_files_are_chosen_by_hash_or_by_place(crawl_mirror: Any) -> None:
    everything = crawl_files(source(crawl_mirror))
    assert [path.rpartition("/")[2][:5] for path in everything] == ["dolma", "dolma", "resil", "pywb-"]
    assert crawl_files(source(crawl_mirror, files=[1, 3])) == everything[1:3]
    assert crawl_files(source(crawl_mirror, files=[0, 1])) == everything[:1]
    grown = [crawl_files(source(crawl_mirror, files=number)) for number in (1, 2, 3, 9)]
    assert [len(files) for files in grown] == [1, 2, 3, 4]
    assert all(set(small) < set(large) for small, large in itertools.pairwise(grown)), (
        "a larger sample holds the smaller"
    )
    assert [path for path in everything if path in grown[2]] == grown[2]


def test_a_file_over_http_gives_what_the_file_gives(crawl_mirror: Any) -> None:
    for path in crawl_files(source(crawl_mirror)):
        assert whole(crawl_mirror, path, access={"block_bytes": 50_000}) == local(crawl_mirror, path)
        assert whole(str(crawl_mirror.folder), path) == local(crawl_mirror, path)
    ranges = [request.stop - request.start for request in crawl_mirror.requests if "/warc/" in request.path]
    assert max(ranges) <= 50_000
    assert len(ranges) > 20


def test_wet_files_hold_texts(crawl_mirror: Any) -> None:
    wet = source(crawl_mirror, format="wet")
    (path,) = crawl_files(wet)
    found = list(read(wet, {"file": path, "origin": path, "key": path}, MAX))
    texts = [item for item in found if isinstance(item, RawRecord)]
    assert [text.url for text in texts] == [
        f"http://sample_{name}" for name in ("english.com", "chinese.zh", "russian.ru")
    ]
    assert all(text.text and text.html is None for text in texts)


@pytest.mark.parametrize("status", [403, 429, 500, 503])
def test_a_server_that_refuses_first_is_asked_again(crawl_mirror: Any, status: int) -> None:
    (path,) = crawl_files(source(crawl_mirror, files=[0, 1]))
    crawl_mirror.faults.append(crawl_mirror_fault(where=path, status=status, times=2))
    assert whole(crawl_mirror, path) == local(crawl_mirror, path)
    asked = [request.status for request in crawl_mirror.requests if request.path == path]
    assert asked == [status, status, 206]


def crawl_mirror_fault(**settings: Any) -> Any:
    import mirror_server  # loaded by the fixture

    return mirror_server.Fault(**settings)


def test_a_connection_cut_in_mid_body_goes_on_at_the_byte_reached(crawl_mirror: Any) -> None:
    path = crawl_files(source(crawl_mirror))[3]
    crawl_mirror.faults.append(crawl_mirror_fault(where=path, cut_after=400_000, stall=0.5))
    crawl_mirror.faults.append(crawl_mirror_fault(where=path, cut_after=300_000, stall=0.5))
    assert whole(crawl_mirror, path) == local(crawl_mirror, path)
    starts = [request.start for request in crawl_mirror.requests if request.path == path]
    assert len(starts) == 3
    assert starts[0] == 0
    assert 0 < starts[1] <= 400_000
    assert starts[1] < starts[2] <= starts[1] + 300_000


def test_a_server_that_stalls_is_given_up_and_asked_again(crawl_mirror: Any) -> None:
    (path,) = crawl_files(source(crawl_mirror, files=[0, 1]))
    crawl_mirror.faults.append(crawl_mirror_fault(where=path, cut_after=10_000, stall=1.5))
    assert whole(crawl_mirror, path, access={"timeout": 0.6}) == local(crawl_mirror, path)
    starts = [request.start for request in crawl_mirror.requests if request.path == path]
    assert starts[:2] == [0, 10_000]


def test_retry_after_is_honoured(crawl_mirror: Any) -> None:
    (path,) = crawl_files(source(crawl_mirror, files=[0, 1]))
    crawl_mirror.faults.append(crawl_mirror_fault(where=path, status=503, headers={"Retry-After": "1"}))
    whole(crawl_mirror, path)
    first, second = (request.at for request in crawl_mirror.requests if request.path == path)
    assert second - first >= 1.0


def test_a_file_that_stays_out_of_reach_fails_the_unit_and_the_next_attempt_goes_on(crawl_mirror: Any) -> None:
    (path,) = crawl_files(source(crawl_mirror, files=[0, 1]))
    crawl_mirror.faults.append(crawl_mirror_fault(where=path, status=503, times=4))
    with pytest.raises(StageError) as caught:
        whole(crawl_mirror, path, access={"retries": 3})
    assert f"{crawl_mirror.url}{path}" in caught.value.message
    assert "503" in caught.value.message
    assert "4 attempts" in caught.value.message
    assert "requests_per_second" in caught.value.fix
    assert whole(crawl_mirror, path) == local(crawl_mirror, path)


def test_a_file_that_the_mirror_lacks_is_a_loss(crawl_mirror: Any) -> None:
    (path,) = crawl_files(source(crawl_mirror, files=[0, 1]))
    (crawl_mirror.folder / path).unlink()
    for mirror in (crawl_mirror, str(crawl_mirror.folder)):
        (loss,) = whole(mirror, path)
        assert isinstance(loss, Loss)
        assert (loss.reason, loss.detail) == ("missing_file", f"not on {source(mirror).mirror}")
    assert [request.status for request in crawl_mirror.requests if request.path == path] == [404], "not asked again"


@pytest.fixture
def object_store(crawl_mirror: Any) -> Iterator[str]:
    """The mirror as objects of a store that is asked by key: in memory, where s3:// would be."""
    store = MemoryFileSystem()
    for file in crawl_mirror.folder.rglob("*"):
        if file.is_file():
            store.pipe_file(f"/mirror/{file.relative_to(crawl_mirror.folder)}", file.read_bytes())
    yield "memory://mirror"
    store.rm("/mirror", recursive=True)


def test_an_object_store_gives_what_the_folder_gives(crawl_mirror: Any, object_store: str, tmp_path: Path) -> None:
    for path in crawl_files(source(object_store)):
        assert whole(object_store, path, access={"block_bytes": 50_000}) == local(crawl_mirror, path)
    _, found = select(object_store, tmp_path / "memory")
    assert found == select(str(crawl_mirror.folder), tmp_path / "folder")[1]
    MemoryFileSystem().rm(f"/mirror/{path}")
    (loss,) = whole(object_store, path)
    assert isinstance(loss, Loss)
    assert loss.reason == "missing_file"


def test_an_object_store_that_asks_to_slow_down_is_asked_again(
    crawl_mirror: Any, object_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = crawl_files(source(object_store, files=[0, 1]))
    served, answers = MemoryFileSystem.cat_file, [OSError("SlowDown"), OSError("SlowDown")]
    asked: list[int | None] = []

    def cat_file(store: Any, key: str, start: int | None = None, end: int | None = None, **options: Any) -> bytes:
        asked.append(start)
        if len(asked) <= len(answers):
            raise answers[len(asked) - 1]
        return served(store, key, start, end, **options)

    monkeypatch.setattr(MemoryFileSystem, "cat_file", cat_file)
    assert whole(object_store, path) == local(crawl_mirror, path)
    assert asked[:3] == [0, 0, 0]
    asked.clear()
    with pytest.raises(StageError, match=r"memory://mirror/.*SlowDown.*2 attempts"):
        whole(object_store, path, access={"retries": 1})


def test_a_server_without_ranges_is_refused(crawl_mirror: Any) -> None:
    (path,) = crawl_files(source(crawl_mirror, files=[0, 1]))
    crawl_mirror.faults.append(crawl_mirror_fault(where=path, ignore_range=True, times=9))
    with pytest.raises(InputError, match="does not serve byte ranges"):
        whole(crawl_mirror, path, access={"block_bytes": 20_000})


# ── records by the index ─────────────────────────────────────────────────────────────────────────────────────────────


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


# ── settings and pace ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"crawl": "CC-MAIN-1999-01"}, "warc.paths.gz does not exist"),
        ({"files": [7, 9]}, "chooses no file"),
        ({"mirror": "http://127.0.0.1:9/"}, "cannot be read"),
        ({"mirror": "/nowhere"}, "does not exist"),
    ],
)
def test_wrong_settings_are_refused_before_anything_starts(crawl_mirror: Any, settings: Any, said: str) -> None:
    one = source(crawl_mirror).model_dump(mode="json") | settings
    with pytest.raises(InputError) as caught:
        check_sources(Recipe.model_validate({"name": "r", "sources": [one]}))
    assert "sources.cc" in caught.value.message
    assert said in caught.value.message
    assert caught.value.fix


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"files": 0}, "files is 0; give a number"),
        ({"files": "0:3"}, "such as [0, 100]"),
        ({"files": [3, 3]}, "such as [0, 100]"),
        ({"format": "wet", "select": {}}, "leave format out"),
        ({"access": {"retries": -1}}, "greater than or equal to 0"),
    ],
)
def test_settings_that_mean_nothing(settings: Any, said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        source("/mirror", **settings)
    assert said in str(caught.value)


def test_an_index_without_the_columns_is_refused(crawl_mirror: Any, tmp_path: Path) -> None:
    file = crawl_mirror.folder / index_files(source(crawl_mirror, select=SELECT))[0]
    pq.write_table(pq.ParquetFile(file).read().drop_columns(["content_languages"]), file)
    with pytest.raises(InputError, match="content_languages"):
        select(crawl_mirror, tmp_path, select={**SELECT, "languages": ["eng"]})


def test_how_a_crawl_is_fetched_is_not_in_its_identity(crawl_mirror: Any) -> None:
    one, other = source(crawl_mirror), source("/elsewhere", access={"requests_per_second": 1.0})
    assert one.identity() == other.identity()
    assert one.identity() != source(crawl_mirror, files=3).identity()


def test_the_pace_spaces_requests_and_holds_them_all(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("crawl2chat.pipelines.sources.pace.time.monotonic", lambda: clock[0])
    pace = Pace(4.0)
    assert [pace.reserve() for _ in range(3)] == [0.0, 0.25, 0.5]
    clock[0] += 10
    assert [pace.reserve() for _ in range(2)] == [0.0, 0.25]
    pace.hold(5)
    assert [pace.reserve() for _ in range(2)] == [5.0, 5.25]


def test_every_request_waits_for_the_pace(crawl_mirror: Any) -> None:
    path = crawl_files(source(crawl_mirror, files=[0, 1]))[0]
    reserved: list[float] = []

    class Counted(Pace):
        def reserve(self) -> float:
            reserved.append(super().reserve())
            return reserved[-1]

    crawl_mirror.requests.clear()
    crawl_mirror.faults.append(crawl_mirror_fault(where=path, status=503, times=2))
    with Remote(Access(**QUICK, block_bytes=30_000), Counted(200.0)).open(crawl_mirror.url + path) as handle:
        data = handle.read()
    assert data == (crawl_mirror.folder / path).read_bytes()
    assert len(reserved) == len(crawl_mirror.requests) > 7
