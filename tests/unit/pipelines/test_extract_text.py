"""HTML to text: charsets, main content, normal form."""

from __future__ import annotations

import gzip
import json
import pydoc
from pathlib import Path

import pytest
from crawl2chat.pipelines.extract import decode, extract, normalise
from crawl2chat.pipelines.sources.records import RawRecord
from crawl2chat.pipelines.sources.warc import read_warc

RUSSIAN = "Привет, мир"


@pytest.mark.parametrize(
    ("html", "charset"),
    [
        (RUSSIAN.encode("windows-1251"), "windows-1251"),
        (f"<meta charset=koi8-r><p>{RUSSIAN}".encode("koi8-r"), None),
        (b"\xff\xfe" + RUSSIAN.encode("utf-16-le"), "windows-1251"),
        (b"\xef\xbb\xbf" + RUSSIAN.encode(), None),
        (RUSSIAN.encode(), "no-such-charset"),
        (RUSSIAN.encode(), "ascii"),
        (f"<meta charset=koi8-r><p>{RUSSIAN}".encode(), "windows-1251"),  # UTF-8, whatever is claimed
        ((f"<p>{RUSSIAN}, это страница на русском языке без объявления кодировки. " * 5).encode("windows-1251"), None),
    ],
)
def test_charset_of_bom_header_meta_or_detection(html: bytes, charset: str | None) -> None:
    assert RUSSIAN in decode(html, charset)


def test_a_charset_all_of_whose_bytes_are_ascii() -> None:
    text = "日本語の文章"
    assert decode(text.encode("iso-2022-jp"), "iso-2022-jp") == text
    assert decode(f"<meta charset=iso-2022-jp>{text}".encode("iso-2022-jp"), None).endswith(text)


def test_title_and_main_content() -> None:
    html = (
        b"<html><head><title> A \n title </title><script>var x</script></head><body><nav><a href=/>Home</a></nav>"
        b"<main><p>First paragraph of the text.</p><p>Second.</p><img alt='picture'>"
        b"<form><input value='no'></form></main>"
        b"<footer>Imprint</footer></body></html>"
    )
    page = extract(html, None)
    assert page.title == "A title"
    assert page.text == "First paragraph of the text.\n\nSecond."


def test_a_pydoc_page_keeps_its_prose() -> None:
    page = extract(pydoc._url_handler("textwrap.html").encode(), "utf-8")  # type: ignore[attr-defined]
    assert page.title == "Pydoc: module textwrap"
    prose = (
        "Object for wrapping/filling text.  The public interface consists of\nthe wrap() and fill() methods; the other"
    )
    assert prose in page.text
    assert "&nbsp;" not in page.text


def test_pages_with_gold_text(shared_data: Path) -> None:
    folder = shared_data / "trafilatura-eval"
    gold = json.loads(gzip.decompress((folder / "gold.json.gz").read_bytes()))
    found = wanted = 0
    with (folder / "pages.warc.gz").open("rb") as handle:
        for number, item in enumerate(read_warc(handle, 10 << 20)):
            if number % 10 or not isinstance(item, RawRecord):
                continue
            assert item.html is not None
            text = " ".join(extract(item.html, item.charset).text.split())
            segments = [" ".join(segment.split()) for segment in gold[item.url]["with"] if segment]
            wanted += len(segments)
            found += sum(segment in text for segment in segments)
    assert wanted > 100
    assert found / wanted > 0.85


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("a\r\nb\rc\u2028d", "a\nb\nc\nd"),
        ("no\xa0break", "no break"),
        ("nul\x00 bell\x07 del\x7f c1\x9b bom\ufeff", "nul bell del c1 bom"),
        ("e\u0301", "é"),
        ("blank \t\nlines\n\n\n\n\nend  \n\n", "blank\nlines\n\nend"),
        ("lone \ud800 surrogate", "lone ? surrogate"),
        ("  indented\n\tcode", "  indented\n\tcode"),
        ("", ""),
    ],
)
def test_normal_form(raw: str, text: str) -> None:
    assert normalise(raw) == text
    assert normalise(text) == text
