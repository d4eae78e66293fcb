"""Block lists for addresses, with datatrove's URLFilter as the oracle."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from crawl2chat.core.errors import InputError
from crawl2chat.core.recipe import Recipe, load_recipe
from crawl2chat.core.settings_data import Extract, Language, WarcSource
from crawl2chat.core.settings_filters import Filters, UrlFilter
from crawl2chat.pipelines.quality import url_lists
from crawl2chat.pipelines.quality.urls import UrlBlocks
from crawl2chat.pipelines.refine import Refiner
from crawl2chat.pipelines.refine_inputs import check_refinement, digests
from crawl2chat.pipelines.sources.records import RawRecord
from datatrove.data import Document
from datatrove.pipeline.filters import URLFilter
from datatrove.utils._import_utils import ASSETS_PATH

DOMAINS = ["bad.com", "evil.co.uk", "host.good.org"]
URLS = ["http://good.org/bad/page", "good.org/other"]
ADDRESSES = [
    "http://bad.com/",
    "https://www.bad.com:8080/a?b=c",
    "http://notbad.com/",
    "http://a.b.evil.co.uk/x",
    "http://host.good.org/x",
    "http://other.good.org/x",
    "http://good.org/bad/page",
    "http://good.org/bad/page2",
    "http://good.org/18abused/",
    "http://good.org/18ABUSED/",
    "http://good.org/babes-ass.html",
    "http://good.org/babes.html",
    "http://good.org/xbabyxbatterx/baby-batter-more",
    "http://pydoc.localhost:7464/topic?key=strings",
    "http://127.0.0.1:80/os.path.html",
    "https://en.wikipedia.org/wiki/History",
    "not an address",
    "http://пример.рф/путь",
    "http://[::1]/x",
]
NAMES = {
    "domain": "url_blocked_domain",
    "subdomain": "url_blocked_host",
    "url": "url_blocked_url",
    "hard_blacklisted": "url_banned_word",
    "soft_blacklisted": "url_soft_words",
    "blacklisted_subword": "url_banned_subword",
}


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    folder = tmp_path_factory.mktemp("lists")
    found = {"domains": DOMAINS, "urls": URLS, "words": ["own-word"], "soft_words": [], "subwords": []}
    for name, entries in found.items():
        (folder / name).write_text("\n".join(["# a comment", *entries, ""]))
    return {name: [str(folder / name)] for name in found}


@pytest.fixture
def small_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An archive like datatrove's with few entries, and an empty cache."""
    (tmp_path / "assets").mkdir()
    with tarfile.open(tmp_path / "assets" / url_lists.ARCHIVE, "w:gz") as tar:
        for name, entries in (("domains", ["#no", "shipped.net", "z.org"]), ("urls", ["x.org/y"])):
            (tmp_path / name).write_text("\n".join(entries))
            tar.add(tmp_path / name, name)
    monkeypatch.setattr(url_lists, "ASSETS_PATH", str(tmp_path / "assets"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    url_lists.shipped.cache_clear()
    yield tmp_path
    url_lists.shipped.cache_clear()


def entries(name: str) -> list[str]:
    return (Path(ASSETS_PATH) / name).read_text().splitlines()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_decisions_are_datatroves(lists: dict[str, list[str]], small_archive: Path) -> None:
    theirs = URLFilter(
        extra_domains=[*DOMAINS, "shipped.net"],
        extra_urls=URLS,
        banned_words=[*entries("banned_words.txt"), "own-word"],
        banned_subwords=entries("banned_subwords.txt"),
        soft_banned_words=entries("soft_banned_words.txt"),
        use_integrated_lists=False,
    )
    theirs.banned_subwords_automaton.make_automaton()
    ours = UrlBlocks(UrlFilter.model_validate(lists))
    paths = ["x", "girl", "babes-and-apeshit", "a/ownword", "sexy/nude/babes", "12", "autoerotic", "a-b_c.d"]
    more = [f"http://{host}/{path}" for host in ("shipped.net", "w.z.org.uk", "good.org") for path in paths]
    seen = set()
    for url, objection in zip(ADDRESSES + more, ours.judge(ADDRESSES + more), strict=True):
        result = theirs.filter(Document(text="", id="", metadata={"url": url}))
        expected = None if result is True else NAMES[result[1]]  # type: ignore[index]
        assert (objection.reason if objection else None) == expected, url
        seen.add(expected)
    assert seen == {None, *NAMES.values()}


def test_values_and_what_datatrove_does_not_find(lists: dict[str, list[str]], small_archive: Path) -> None:
    blocks = UrlBlocks(UrlFilter.model_validate(lists))
    soft, other, shipped, empty = blocks.judge(
        ["http://good.org/babes-ass.html", "https://good.org/other", "http://x.org/y", ""]
    )
    assert soft == ("url_soft_words", 2.0)
    assert other == shipped == ("url_blocked_url", None)
    assert empty is None
    strict = UrlBlocks(UrlFilter(soft_word_threshold=1, integrated=False, soft_words=lists["words"]))
    assert strict.judge(["http://a.org/ownword/"]) == [("url_soft_words", 1.0)]
    assert UrlBlocks(UrlFilter(integrated=False)).judge(["http://shipped.net/"]) == [None]


def test_the_lists_are_hashed_once_and_mapped(small_archive: Path) -> None:
    first = url_lists.shipped("domains")
    (file,) = (small_archive / "cache" / "crawl2chat").glob("url-domains-*.npy")
    assert len(first) == 2
    made = file.stat().st_mtime_ns
    url_lists.shipped.cache_clear()
    assert isinstance(url_lists.shipped("domains"), np.memmap)
    assert file.stat().st_mtime_ns == made


def test_without_a_place_to_write_the_lists_stay_in_memory(small_archive: Path) -> None:
    (small_archive / "cache").write_text("a file where the folder would be")
    assert len(url_lists.shipped("domains")) == 2


def test_a_missing_list_is_named() -> None:
    with pytest.raises(InputError, match=r"filters.url: the list /nowhere/list cannot be read"):
        UrlBlocks(UrlFilter(integrated=False, words=["/nowhere/list"]))


def test_a_blocked_page_leaves_before_it_is_extracted(lists: dict[str, list[str]]) -> None:
    source = WarcSource(kind="warc", name="s", paths=["x"])
    filters = Filters(url=UrlFilter(integrated=False, domains=lists["domains"]), scores=False)
    refiner = Refiner(source, "in/x.warc.gz", "x.warc.gz", Extract(), Language(), filters)
    pages = [RawRecord(3, "3", "http://www.bad.com/a", html=b""), RawRecord(4, "4", "http://good.org/", html=b"")]
    blocked, other = refiner.refine(pages)
    names = ("stage", "reason", "value", "url", "origin_offset")
    assert [blocked.row[name] for name in names] == ["url", "url_blocked_domain", None, "http://www.bad.com/a", 3]
    assert other.row["stage"] == "extract"


def test_lists_are_found_and_checked_before_anything_starts(
    lists: dict[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = {"kind": "jsonl", "name": "web", "paths": [str(tmp_path / "pages.jsonl")]}
    (tmp_path / "list").write_text("bad.com\n")
    monkeypatch.chdir(tmp_path)

    def recipe(file: str) -> Recipe:
        filters = {"url": {"integrated": False, "domains": [file]}}
        (tmp_path / "r.yaml").write_text(yaml.safe_dump({"name": "r", "sources": [source], "filters": filters}))
        return load_recipe(tmp_path / "r.yaml")

    found = recipe("list")
    assert found.filters.url is not None
    assert found.filters.url.domains == [str(tmp_path / "list")]
    check_refinement(found)
    before = digests(found)[str(tmp_path / "list")]
    (tmp_path / "list").write_text("other.com\n")
    assert digests(found)[str(tmp_path / "list")] != before
    for needs in (check_refinement, digests):
        with pytest.raises(InputError, match=r"filters.url: the list .*missing cannot be read"):
            needs(recipe("missing"))
