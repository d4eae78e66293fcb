"""A folder of HTML: recursive, URLs from paths, units of bounded size, broken files."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from crawl2chat.core.recipe import Recipe
from crawl2chat.core.units import Unit
from crawl2chat.pipelines.reading import read, units
from crawl2chat.pipelines.sources.paths import check_sources, stamps
from crawl2chat.pipelines.sources.records import Item, Loss, RawRecord

MAX = 10_000


def recipe(*paths: str, **settings: Any) -> Recipe:
    return Recipe.model_validate({"name": "r", "sources": [{"kind": "html", "name": "h", "paths": paths, **settings}]})


def planned(one: Recipe) -> list[Unit]:
    check_sources(one)
    crawl: Any = None
    return units(one, Path(), crawl)


def items(one: Recipe) -> list[Item]:
    return [item for unit in planned(one) for item in read(one.sources[0], unit.spec, MAX)]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    root = tmp_path / "site"
    for name in ("index.html", "a/index.html", "a/b/ä b.htm", "a/x.xhtml", "a/notes.txt"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"<p>{name}")
    (root / "z.html.gz").write_bytes(gzip.compress(b"<p>zip") + gzip.compress(b"ped"))
    return root


def test_a_folder_is_searched_and_urls_are_paths(site: Path) -> None:
    found = items(recipe(str(site), base_url="https://a.test/docs/"))
    assert [item.url for item in found if isinstance(item, RawRecord)] == [
        "https://a.test/docs/a/b/%C3%A4%20b.htm",
        "https://a.test/docs/a/index.html",
        "https://a.test/docs/a/x.xhtml",
        "https://a.test/docs/index.html",
        "https://a.test/docs/z.html.gz",
    ]
    assert [item.key for item in found if isinstance(item, RawRecord)] == [
        "a/b/ä b.htm", "a/index.html", "a/x.xhtml", "index.html", "z.html.gz",
    ]  # fmt: skip
    assert [item.html for item in found if isinstance(item, RawRecord)][-1] == b"<p>zipped"
    assert {item.file for item in found if isinstance(item, RawRecord)} <= {str(p) for p in site.rglob("*")}


def test_patterns_and_single_files_have_their_own_root(site: Path) -> None:
    found = items(recipe(f"{site}/a/*.html", f"{site}/index.html", base_url="https://a.test"))
    assert [item.url for item in found if isinstance(item, RawRecord)] == ["https://a.test/index.html"] * 2
    assert {item.key for item in found if isinstance(item, RawRecord)} == {"a/index.html", "index.html"}
    assert [item.url for item in items(recipe(f"{site}/**/*.htm", base_url="https://a.test"))][:1] == [
        "https://a.test/a/b/%C3%A4%20b.htm"
    ]


def test_units_are_of_bounded_size_and_the_same_every_time(site: Path) -> None:
    one = recipe(str(site), unit_bytes=25)
    packs = [unit.spec["files"] for unit in planned(one)]
    assert len(packs) == 3
    assert [unit.model_dump() for unit in planned(one)] == [unit.model_dump() for unit in planned(one)]
    assert len(stamps(one)) == 5


def test_broken_files_are_losses(site: Path) -> None:
    (site / "big.html").write_bytes(b"x" * (MAX + 1))
    (site / "bomb.html.gz").write_bytes(gzip.compress(b"x" * 5_000_000))
    (site / "cut.html.gz").write_bytes(gzip.compress(b"<p>text")[:-5])
    (site / "bad.html.gz").write_bytes(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03garbage!")
    one = recipe(str(site), unit_bytes=1 << 20)
    (unit,) = planned(one)
    (site / "index.html").unlink()  # gone after the plan
    found = list(read(one.sources[0], unit.spec, MAX))
    assert {(item.key, item.reason) for item in found if isinstance(item, Loss)} == {
        ("big.html", "too_large"),
        ("bomb.html.gz", "too_large"),
        ("cut.html.gz", "truncated_gzip"),
        ("bad.html.gz", "bad_gzip"),
        ("index.html", "unreadable_file"),
    }
    assert len(found) == 9
