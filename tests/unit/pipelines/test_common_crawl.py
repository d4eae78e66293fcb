"""Common Crawl from a mirror: which files are chosen, what they hold, which settings are refused."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from crawl2chat.core.errors import InputError
from crawl2chat.core.recipe import Recipe
from crawl2chat.pipelines.reading import read
from crawl2chat.pipelines.sources.common_crawl import crawl_files
from crawl2chat.pipelines.sources.paths import check_sources
from crawl2chat.pipelines.sources.records import Loss, RawRecord
from pydantic import ValidationError

from .common_crawl_run import MAX, local, source, whole


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


def test_a_file_that_the_mirror_lacks_is_a_loss(crawl_mirror: Any) -> None:
    (path,) = crawl_files(source(crawl_mirror, files=[0, 1]))
    (crawl_mirror.folder / path).unlink()
    for mirror in (crawl_mirror, str(crawl_mirror.folder)):
        (loss,) = whole(mirror, path)
        assert isinstance(loss, Loss)
        assert (loss.reason, loss.detail) == ("missing_file", f"not on {source(mirror).mirror}")
    assert [request.status for request in crawl_mirror.requests if request.path == path] == [404], "not asked again"


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


def test_how_a_crawl_is_fetched_is_not_in_its_identity(crawl_mirror: Any) -> None:
    one, other = source(crawl_mirror), source("/elsewhere", access={"requests_per_second": 1.0})
    assert one.identity() == other.identity()
    assert one.identity() != source(crawl_mirror, files=3).identity()
