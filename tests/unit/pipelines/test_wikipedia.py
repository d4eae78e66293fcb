"""MediaWiki dumps: the two real ones, parts, namespaces, and where streams end."""

from __future__ import annotations

import bz2
import random
from pathlib import Path

import pytest
from crawl2chat.pipelines.sources.records import Loss, RawRecord

from .wikipedia_dump import SITE, dump, page, read, reasons


def test_the_english_dump(shared_data: Path) -> None:
    data = (shared_data / "wikipedia-dump-sample" / "enwiki-pages-articles-shortened.xml.bz2").read_bytes()
    found = read(data)
    articles = {item.title: item for item in found if isinstance(item, RawRecord)}
    assert len(articles) == 106
    assert reasons(found) == {"redirect": 99, "not_article": 1}
    anarchism = articles["Anarchism"]
    assert anarchism.url == SITE + "Anarchism"
    assert anarchism.offset == 12
    assert anarchism.date == "2016-04-22T10:19:33Z"
    assert (anarchism.text or "").startswith(
        "Anarchism is a political philosophy that advocates self-governed societies"
    )
    text = "\n".join(item.text or "" for item in articles.values())
    for leftover in ("{{", "}}", "{|", "[[", "]]", "<ref", "'''", "Category:", "thumb|", "\x01"):
        assert text.count(leftover) <= 12, leftover  # a few articles quote wikitext or are broken themselves
    assert "\n\nEtymology and terminology\n\n" in text


def test_parts_are_a_partition(shared_data: Path) -> None:
    data = (shared_data / "wikipedia-dump-sample" / "enwiki-pages-articles-shortened.xml.bz2").read_bytes()
    places = [item.place for part in range(3) for item in read(data[:250_000], part, 3)]
    whole = [item.place for item in read(data[:250_000])]
    assert len(whole) > 5
    assert sorted(places) == sorted(whole)
    assert len(set(whole)) == len(whole)


def test_the_utf16_dump(shared_data: Path) -> None:
    data = (shared_data / "wikipedia-dump-sample" / "bgwiki-pages-articles-shortened.xml.bz2").read_bytes()
    found = read(data)
    assert reasons(found) == {"not_article": 2}
    (article,) = [item for item in found if isinstance(item, RawRecord)]
    assert "календар" in (article.text or "")
    cut = read(data[: len(data) // 2])
    assert reasons(cut)["truncated_bz2"] == 1


def test_namespaces_redirects_and_urls() -> None:
    found = read(dump(page(1, extra="<ns>4</ns>"), page(2, extra='<ns>0</ns><redirect title="B" />'), page(3)))
    assert [(item.reason, item.value, item.offset) for item in found if isinstance(item, Loss)] == [
        ("not_article", 4.0, 1),
        ("redirect", None, 2),
    ]
    assert isinstance(found[2], RawRecord)
    assert (found[2].url, found[2].title) == (SITE + "Page_3%3F", "Page 3?")


def test_a_dump_names_the_namespaces_of_its_files_and_categories() -> None:
    info = '<siteinfo><namespaces><namespace key="6" case="first-letter">Datei</namespace></namespaces></siteinfo>'
    data = dump(page(1, "[[Datei:x.jpg|mini|Bild]]Text[[File:y.jpg]]")).replace(
        b"<mediawiki>", f"<mediawiki>{info}".encode()
    )
    (found,) = read(data)
    assert isinstance(found, RawRecord)
    assert found.text == "Text"


def test_a_stream_that_ends_where_a_chunk_ends() -> None:
    first = bz2.compress(dump(page(1)))
    padded = first
    for size in range(2, 400):  # text of random words, so long that the stream ends with the first chunk
        rng = random.Random(size)
        padded = bz2.compress(dump(page(1, "".join(rng.choice("abcdefgh") for _ in range(size * 100)))))
        if len(padded) > 6000:
            break
    for chunk in (len(padded), len(padded) - 1, len(padded) + 1, 100):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("crawl2chat.pipelines.sources.dump_text.CHUNK", chunk)
            assert [item.offset for item in read(padded + first)] == [1, 1]
