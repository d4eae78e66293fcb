"""A mirror that is read by byte ranges: a server that fails in every way, an object store, the pace of requests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from crawl2chat.core.errors import InputError, StageError
from crawl2chat.core.settings_sources import Access
from crawl2chat.pipelines.sources.common_crawl import crawl_files
from crawl2chat.pipelines.sources.pace import Pace
from crawl2chat.pipelines.sources.records import Loss
from crawl2chat.pipelines.sources.remote import Remote
from fsspec.implementations.memory import MemoryFileSystem

from .common_crawl_run import QUICK, crawl_mirror_fault, local, select, source, whole


@pytest.mark.parametrize("status", [403, 429, 500, 503])
def test_a_server_that_refuses_first_is_asked_again(crawl_mirror: Any, status: int) -> None:
    (path,) = crawl_files(source(crawl_mirror, files=[0, 1]))
    crawl_mirror.faults.append(crawl_mirror_fault(where=path, status=status, times=2))
    assert whole(crawl_mirror, path) == local(crawl_mirror, path)
    asked = [request.status for request in crawl_mirror.requests if request.path == path]
    assert asked == [status, status, 206]


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


def test_a_server_without_ranges_is_refused(crawl_mirror: Any) -> None:
    (path,) = crawl_files(source(crawl_mirror, files=[0, 1]))
    crawl_mirror.faults.append(crawl_mirror_fault(where=path, ignore_range=True, times=9))
    with pytest.raises(InputError, match="does not serve byte ranges"):
        whole(crawl_mirror, path, access={"block_bytes": 20_000})


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
