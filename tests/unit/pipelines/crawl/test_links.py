from __future__ import annotations

import gzip
import time

import pytest
from crawl2chat.pipelines.sources.crawl.links import decoded, page_links


def links(html: str, header: str = "") -> list[str]:
    return page_links("http://a/b/c", html, "crawl2chat", header)


def test_links_are_joined_sorted_and_told_once() -> None:
    html = "<a href=z>1</a><a href='/y#part'>2</a><a href=y>3</a><a href=./y>4</a><area href='//d/'><a href=mailto:x>"
    assert links(html) == ["http://a/b/y", "http://a/b/z", "http://a/y", "http://d/"]


def test_base() -> None:
    assert links("<head><base href='/x/'><base href='/no/'></head><a href=y>") == ["http://a/x/y"]


@pytest.mark.parametrize(
    ("html", "header", "followed"),
    [
        ("<a href=x rel='external NoFollow'>", "", False),
        ("<meta name=robots content='noindex, NOFOLLOW'><a href=x>", "", False),
        ("<meta name=ROBOTS content=none><a href=x>", "", False),
        ("<meta name=crawl2chat content=nofollow><a href=x>", "", False),
        ("<meta name=otherbot content=nofollow><a href=x>", "", True),
        ("<meta name=description content=nofollow><a href=x>", "", True),
        ("<a href=x>", "noindex, nofollow", False),
        ("<a href=x>", "otherbot: nofollow", True),
        ("<a href=x>", "crawl2chat: nofollow", False),
    ],
)
def test_nofollow(html: str, header: str, followed: bool) -> None:
    assert links(html, header) == (["http://a/b/x"] if followed else [])


def test_broken_html_and_links() -> None:
    assert links("<a href='http://[x'><a href=ok<b>") != [] and links("") == [] and links("\x00<<<") == []


def test_many_links_take_linear_time() -> None:
    html = "".join(f"<p>text<a href=p{number}>x</a></p>" for number in range(5000))
    began = time.process_time()
    assert len(links(html)) == 5000
    assert time.process_time() - began < 5  # stepping through a collection of nodes took minutes


def test_decoded() -> None:
    assert decoded(gzip.compress("ä".encode("latin-1")), "gzip", "iso-8859-1", 100) == "ä"
    assert decoded("Öl und Wärme für das große Haus".encode(), "", "", 100) == "Öl und Wärme für das große Haus"
    assert len(decoded(gzip.compress(b"a" * 10_000_000), "gzip", "ascii", 1000)) == 1000  # a bomb stays small
    with pytest.raises(ValueError, match="not gzip"):
        decoded(b"plain", "gzip", "", 100)
    with pytest.raises(ValueError, match="'br' was not asked for"):
        decoded(b"", "br", "", 100)
