"""MediaWiki dumps: the two real ones, plain and multistream, clean text, and damage."""

from __future__ import annotations

import bz2
import html
import io
import random
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import mwparserfromhell
import pytest
from crawl2chat.core.errors import InputError
from crawl2chat.core.recipe import Recipe
from crawl2chat.pipelines.sources.multistream import index_name, index_stamps, multistream_specs, read_streams
from crawl2chat.pipelines.sources.records import Item, Loss, Other, RawRecord
from crawl2chat.pipelines.sources.wikipedia import read_wikipedia
from crawl2chat.pipelines.sources.wikitext import DROPPED_TAGS, plain_text
from mwparserfromhell.nodes import ExternalLink, Heading, HTMLEntity, Text, Wikilink
from mwparserfromhell.nodes import Tag as MwTag

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


def test_a_broken_tag_of_a_page_is_a_row_and_costs_one_page() -> None:
    whole = dump(*(page(number) for number in range(1, 9))).decode()
    for tag in ("<page>", "</page>"):
        for number, found in enumerate(re.finditer(tag, whole)):
            broken = whole[: found.start() + 3] + "#" + whole[found.start() + 4 :]
            items = read(broken.encode())
            assert reasons(items) == {"bad_xml": 1}, (tag, number)
            assert [item.offset for item in items if isinstance(item, RawRecord)] == [
                one for one in range(1, 9) if one != number + 1
            ]
            assert len({item.place for item in items if not isinstance(item, Other)}) == 8


def test_pages_behind_the_last_whole_stream_are_missed() -> None:
    """Cut between two streams, every stream is sound: only the end of the dump shows that pages are gone."""
    pages = [page(number) for number in range(1, 7)]
    streams = [bz2.compress(one.encode()) for one in ("<mediawiki>", *pages, "</mediawiki>\n")]
    assert reasons(read(b"".join(streams))) == {}
    for number in range(2, len(streams)):
        found = read(b"".join(streams[:number]))
        (loss,) = [item for item in found if isinstance(item, Loss)]
        assert (loss.reason, len(found)) == ("bad_xml", number)
        assert "ends without </mediawiki>: pages are missing" in loss.detail
    part = read(b"".join(streams[:4]), part=1, parts=2)
    assert reasons(part) == {}, "damage of the file is a row of part 0 alone"


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


# ── multistream ──────────────────────────────────────────────────────────────────────────────────────────────────────


NAME = "enwiki-20160501-pages-articles-multistream"


def multistream(folder: Path, data: bytes, pages_in_stream: int = 7) -> tuple[Path, list[int]]:
    """The dump as Wikimedia writes it: header, pages in groups and end as bz2 streams of their own, and the index."""
    pieces = [bytes(found[0]) for found in re.finditer(rb"[ ]*<page>.*?</page>\n?", data, re.DOTALL)]
    header = data[: data.index(pieces[0])]
    written, lines, offsets = bz2.compress(header), [], []
    for start in range(0, len(pieces), pages_in_stream):
        group = pieces[start : start + pages_in_stream]
        offsets.append(len(written))
        for piece in group:
            title, number = (re.search(rb"<%s>(.*?)</" % tag, piece) for tag in (b"title", b"id"))
            assert title is not None and number is not None
            lines.append(b"%d:%s:%s\n" % (offsets[-1], number[1], title[1]))
        written += bz2.compress(b"".join(group))
    (folder / f"{NAME}.xml.bz2").write_bytes(written + bz2.compress(b"</mediawiki>\n"))
    (folder / f"{NAME}-index.txt.bz2").write_bytes(bz2.compress(b"".join(lines)))
    return folder / f"{NAME}.xml.bz2", offsets


@pytest.fixture(scope="module")
def english(shared_data: Path) -> bytes:
    return bz2.decompress((shared_data / "wikipedia-dump-sample/enwiki-pages-articles-shortened.xml.bz2").read_bytes())


@pytest.fixture(scope="module")
def short(english: bytes) -> bytes:
    """The first pages of the English dump."""
    ends = [found.end() for found in re.finditer(b"</page>\n", english)]
    return english[: ends[69]] + b"</mediawiki>\n"


def by_units(dump_file: Path, unit_bytes: int) -> tuple[list[dict[str, Any]], list[Item]]:
    specs = multistream_specs(str(dump_file), unit_bytes)
    with dump_file.open("rb") as handle:
        return specs, [item for spec in specs for item in read_streams(handle, SITE, spec, 1 << 20)]


def test_the_units_of_a_multistream_dump_give_the_pages_of_the_plain_read(tmp_path: Path, english: bytes) -> None:
    path, offsets = multistream(tmp_path, english)
    specs, found = by_units(path, 200_000)
    assert 4 <= len(specs) <= 12
    assert [offset for spec in specs for offset, _ in spec["streams"]] == offsets
    assert len(found) == 206
    assert found == read(bz2.compress(english))


@pytest.mark.parametrize("unit_bytes", [1, 1 << 30])
def test_units_of_one_stream_and_of_many(tmp_path: Path, short: bytes, unit_bytes: int) -> None:
    path, offsets = multistream(tmp_path, short)
    specs, found = by_units(path, unit_bytes)
    assert len(specs) == len(offsets) if unit_bytes == 1 else 2 <= len(specs) <= 4
    assert len(found) == 70
    assert found == read(path.read_bytes()), "also without the index: the streams as one file"


def test_a_unit_reads_only_its_own_streams(tmp_path: Path, short: bytes) -> None:
    path, _ = multistream(tmp_path, short)
    specs = multistream_specs(str(path), 200_000)
    data = bytearray(path.read_bytes())
    first = specs[0]["streams"][0][0]
    for spec in specs[1:]:
        data[spec["streams"][0][0] : spec["stop"]] = b"\xff" * (spec["stop"] - spec["streams"][0][0])
    assert first > 0
    assert (
        list(read_streams(io.BytesIO(bytes(data)), SITE, specs[0], 1 << 20))
        == read(path.read_bytes())[: sum(count for _, count in specs[0]["streams"])]
    )


def test_a_damaged_stream_costs_its_own_pages_and_says_how_many(tmp_path: Path, short: bytes) -> None:
    path, offsets = multistream(tmp_path, short)
    plain = read(path.read_bytes())
    data = bytearray(path.read_bytes())
    data[offsets[3] + 500] ^= 255
    path.write_bytes(bytes(data))
    _, found = by_units(path, 200_000)
    losses = [item for item in found if isinstance(item, Loss) and item.reason == "bad_bz2"]
    assert [(loss.offset, loss.value) for loss in losses] == [(offsets[3], 7.0)]
    assert [item for item in found if item not in losses] == plain[:21] + plain[28:]
    without_index = read(bytes(data))
    assert [item.offset for item in without_index if isinstance(item, Loss) and item.reason == "bad_bz2"] == [
        offsets[3]
    ]
    assert {item.offset for item in without_index if isinstance(item, RawRecord)} == {
        item.offset for item in plain[:21] + plain[28:] if isinstance(item, RawRecord)
    }


@pytest.mark.parametrize("line", [b"1:2", b"no:1:x\n", b"99999999999:1:x\n", b"700:1:x\n600:2:y\n"])
def test_an_index_of_another_dump_is_refused(tmp_path: Path, short: bytes, line: bytes) -> None:
    path, _ = multistream(tmp_path, short[:300_000])
    index = Path(index_name(str(path)))
    assert index.exists()
    index.write_bytes(bz2.compress(line)[: None if line != b"1:2" else -5])
    with pytest.raises(InputError, match="is no index of its dump") as caught:
        multistream_specs(str(path), 1000)
    assert "move it away" in caught.value.fix


def test_an_index_that_counts_too_few_pages_loses_none_and_gives_none_the_place_of_another(
    tmp_path: Path, short: bytes
) -> None:
    path, _ = multistream(tmp_path, short)
    index = Path(index_name(str(path)))
    lines = bz2.decompress(index.read_bytes()).splitlines(keepends=True)
    index.write_bytes(bz2.compress(b"".join(line for at, line in enumerate(lines) if at % 5)))
    _, found = by_units(path, 200_000)
    assert [item.offset for item in found] == [item.offset for item in read(path.read_bytes())]
    assert len({item.place for item in found if not isinstance(item, Other)}) == 70


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("/x/dewiki-20240301-multistream.xml.bz2", "dewiki-20240301-multistream-index.txt.bz2"),
        ("s3://b/d-multistream1.xml-p1p41242.bz2", "d-multistream-index1.txt-p1p41242.bz2"),
        ("/x/enwiki-pages-articles.xml.bz2", ""),
        ("/x/e-multistream-index.txt.bz2", ""),
    ],
)  # fmt: skip
def test_names_of_indexes(name: str, index: str) -> None:
    assert index_name(name).rpartition("/")[2] == index


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


# ── wikitext ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_texts_have_the_words_of_mwparserfromhell(english: bytes) -> None:
    """On all articles of the real dump: its parser, with the same things dropped, as the oracle. docs/sources.md."""
    texts = [found[1] for found in re.finditer(r"<text[^>]*>(.*?)</text>", english.decode(), re.DOTALL)]
    articles = [html.unescape(text) for text in texts if not text.startswith("#REDIRECT")]
    total = missing = extra = 0
    for article in articles:
        ours, theirs = (Counter(re.findall(r"\w\S*", text)) for text in (plain_text(article), oracle(article)))
        total += theirs.total()
        missing += (theirs - ours).total()
        extra += (ours - theirs).total()
    assert len(articles) == 107
    assert total > 450_000
    assert extra <= 20, "terms of definition lists, and a reference whose tags are broken"
    assert missing <= total * 0.0006, "the headings of empty sections, mostly"


def oracle(wikitext: str) -> str:
    def render(code: Any) -> str:
        return "".join(show(node) for node in code.nodes) if code is not None else ""

    def show(node: Any) -> str:
        if isinstance(node, Text):
            return str(node.value)
        if isinstance(node, Wikilink):
            title = str(node.title)
            if re.match(r"\s*((file|image|media|category)\s*:|[a-z]{2,3}(-[a-z-]+)?\s*:\s*\S)", title, re.IGNORECASE):
                return ""
            return render(node.text) if node.text is not None else render(node.title).lstrip(":")
        if isinstance(node, Heading):
            return f"\n\n{render(node.title).strip()}\n\n"
        if isinstance(node, HTMLEntity):
            return node.normalize() or ""
        if isinstance(node, ExternalLink):
            return render(node.title) if node.brackets else str(node.url)
        if isinstance(node, MwTag):
            name = str(node.tag).strip().lower()
            if name in DROPPED_TAGS:
                return ""
            marks = {"br": "\n", "li": "- " if node.wiki_markup else None, "dd": "", "dt": ""}
            return render(node.contents) if marks.get(name) is None else str(marks[name])
        return ""

    text = render(mwparserfromhell.parse(wikitext, skip_style_tags=True)).replace("'''", "").replace("''", "")
    text = re.sub(r" ?\((?:[\s,;:]|(?:or|and)\b)*\)", "", re.sub(r"__[A-Z]+__", "", text))
    return re.sub(r"^[- ]+", "- ", text, flags=re.MULTILINE)


BOMBS = ["{{", "{{a|", "{{{", "[[", "[[a|", "{|\n", "<ref>", "<div>", "<b ", "<!--", "<nowiki>", "[http://x ",
         "{{[[<b>", "[[a|{{b|", "\n*#:;", "(", "=", "\n == ", "\n \n", "''", "{{}", "&amp", "<pre>[[",
         "|a=", "|a=}}"]  # fmt: skip


def test_wikitext_that_explodes_other_parsers_takes_time_in_proportion() -> None:
    """Each bomb alone, half closed, and mixed: a process that is killed after a minute stands for "no hang"."""
    code = (
        "import random, sys\nfrom crawl2chat.pipelines.sources.wikitext import plain_text\n"
        f"bombs = {BOMBS!r}\nrng = random.Random(3)\n"
        "for bomb in bombs:\n"
        "    plain_text(bomb * (200_000 // len(bomb)))\n"
        "    plain_text(bomb * (100_000 // len(bomb)) + '}}]]|}</ref></div>-->' * 5000)\n"
        "for _ in range(20):\n"
        "    mixed = bombs + ['}}', ']]', '|}', 'text ', '|', '-->', '</ref>']\n"
        "    plain_text(''.join(rng.choice(mixed) for _ in range(30_000)))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_dump_names_the_namespaces_of_its_files_and_categories() -> None:
    info = '<siteinfo><namespaces><namespace key="6" case="first-letter">Datei</namespace></namespaces></siteinfo>'
    data = dump(page(1, "[[Datei:x.jpg|mini|Bild]]Text[[File:y.jpg]]")).replace(
        b"<mediawiki>", f"<mediawiki>{info}".encode()
    )
    (found,) = read(data)
    assert isinstance(found, RawRecord)
    assert found.text == "Text"


@pytest.mark.parametrize(
    ("wikitext", "text"),
    [
        ("a <nowiki>{{b}} [[c]]</nowiki> d", "a {{b}} [[c]] d"),
        ("{{a|{{{b|{{c}}}}}|x}}y {{{d}}}z", "y z"),
        ("{{Infobox\n{| class=a\n|-\n|}\n}}\nText {| not a table", "Text {| not a table"),
        ("{|\n| a\n{|\n| nested\n|}\n|}\nText", "Text"),
        ("[[File:a|thumb|see [[b|c [[d]]]] and [http://x y]]]Text", "Text"),
        ("H<sub>2</sub>O<br>next <foo> 1 < 2", "H2O\nnext <foo> 1 < 2"),
        ("* a\n*\n* {{x}}\n:: b\n;c\n----\nd", "- a\nb\nc\nd"),
        ("Detection|url = http://a.b/c|access-date = 2016}} of waves", "Detection of waves"),
        ("a }} b\n|c=d\ne|f }} g", "a }} b\n|c=d\ne|f }} g"),
        ("[[File:a|alt=b|c]]d [[e|f=g]] }} h", "d f=g }} h"),
    ],
)
def test_more_wikitext(wikitext: str, text: str) -> None:
    assert plain_text(wikitext) == text


def test_another_index_is_another_input(tmp_path: Path) -> None:
    made, index = tmp_path / "x-multistream.xml.bz2", tmp_path / "x-multistream-index.txt.bz2"
    made.write_bytes(bz2.compress(dump(page(1))))
    sources = [{"kind": "wikipedia", "name": "wiki", "paths": [str(made)]}]
    recipe = Recipe.model_validate({"name": "r", "sources": sources})
    assert index_stamps(recipe) == {}
    index.write_bytes(bz2.compress(b"0:1:Page 1?\n"))
    before = index_stamps(recipe)
    assert before.keys() == {str(index)}
    index.write_bytes(bz2.compress(b"0:1:Page 1?\n0:2:Page 2?\n"))
    assert index_stamps(recipe) != before
