"""MediaWiki dumps: the two real ones, clean text, and damage."""

from __future__ import annotations

import bz2
import io
from collections import Counter
from pathlib import Path

import pytest
from crawl2chat.pipelines.sources.records import Item, Loss, RawRecord
from crawl2chat.pipelines.sources.wikipedia import read_wikipedia
from crawl2chat.pipelines.sources.wikitext import plain_text

SITE = "https://en.wikipedia.org/wiki/"


def read(data: bytes, part: int = 0, parts: int = 1, max_bytes: int = 1 << 20) -> list[Item]:
    return list(read_wikipedia(io.BytesIO(data), SITE, max_bytes, part, parts))


def page(number: int, text: str = "Text.", extra: str = "<ns>0</ns>") -> str:
    return (
        f"<page><title>Page {number}?</title>{extra}<id>{number}</id>"
        f"<revision><timestamp>2020-01-01T00:00:00Z</timestamp><text>{text}</text></revision></page>\n"
    )


def dump(*pages: str) -> bytes:
    return ("<mediawiki>" + "".join(pages) + "</mediawiki>").encode()


def reasons(found: list[Item]) -> Counter[str]:
    return Counter(item.reason for item in found if isinstance(item, Loss))


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


def test_broken_pages_cost_only_themselves() -> None:
    broken = page(2).replace("</title>", "<title>")
    endless = page(3).replace("</page>", "")
    found = read(dump(page(1), broken, endless, page(4), page(5).replace("<id>5</id>", "")))
    kept = [item.offset for item in found if isinstance(item, RawRecord)]
    assert kept == [1, 4]
    assert reasons(found) == {"bad_xml": 3}
    assert reasons(read(dump(page(1), page(2))[:-40])) == {"bad_xml": 1}


def test_namespaces_redirects_and_urls() -> None:
    found = read(dump(page(1, extra="<ns>4</ns>"), page(2, extra='<ns>0</ns><redirect title="B" />'), page(3)))
    assert [(item.reason, item.value, item.offset) for item in found if isinstance(item, Loss)] == [
        ("not_article", 4.0, 1),
        ("redirect", None, 2),
    ]
    assert isinstance(found[2], RawRecord)
    assert (found[2].url, found[2].title) == (SITE + "Page_3%3F", "Page 3?")


def test_large_pages_are_skipped() -> None:
    found = read(dump(page(1), page(2, "x" * 700_000), page(3)), max_bytes=1000)
    assert reasons(found) == {"too_large": 1}
    assert [item.offset for item in found if isinstance(item, RawRecord)] == [1, 3]


def test_damaged_bz2_ends_with_a_loss() -> None:
    data = bytearray(bz2.compress(dump(*(page(n) for n in range(1, 30)))))
    data[len(data) // 2] ^= 255
    assert reasons(read(bytes(data)))["bad_bz2"] == 1
    two_streams = bz2.compress(dump(page(1))) + bz2.compress(dump(page(2)))
    assert len(read(two_streams)) == 2


@pytest.mark.parametrize(
    ("wikitext", "text"),
    [
        ("'''Bold''' and ''italic'' [[Link|shown]] [[plain]]s.", "Bold and italic shown plains."),
        ("A{{cite|{{nested}}}} b<ref name=x>no</ref><ref name=y /> c<!-- no -->.", "A b c."),
        ("Before\n{| class=x\n|-\n| cell\n|}\nAfter", "Before\n\nAfter"),
        ("[[File:a.jpg|thumb|A [[link]] in it]]Text[[Category:X]][[fr:Y]]", "Text"),
        ("Sound ({{IPA|x}}; {{lang|y}}) word", "Sound word"),
        (
            "Intro\n== One ==\nText\n=== Sub ===\n* a\n* {{t}}\n** c\n# b",
            "Intro\n\nOne\n\nText\n\nSub\n\n- a\n- c\n- b",
        ),
        ("Intro\n== See also ==\n{{Portal}}\n== Notes ==\n=== Deep ===\n<references />", "Intro"),
        ("[http://x.test shown] and [http://y.test] &amp; <b>bold</b>&nbsp;x", "shown and & bold\xa0x"),
        ("__NOTOC__\nText", "Text"),
        ("", ""),
        ("{{unclosed [[also", "{{unclosed [[also"),
    ],
)
def test_wikitext_becomes_clean_text(wikitext: str, text: str) -> None:
    assert plain_text(wikitext) == text
