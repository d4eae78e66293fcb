"""The cascade: blocks of a page, their features, the model's independence of the batch, the text that comes out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crawl2chat.pipelines.extract import decode, extract, extract_all
from crawl2chat.pipelines.extraction.blocks import Page, read_page
from crawl2chat.pipelines.extraction.cascade import cascade, compose
from crawl2chat.pipelines.extraction.characters import characters
from crawl2chat.pipelines.extraction.features import features
from crawl2chat.pipelines.extraction.hints import BITS, hint_bits
from crawl2chat.pipelines.extraction.model import shipped
from crawl2chat.pipelines.extraction.network import enter, leave
from crawl2chat.pipelines.extraction.surroundings import describe
from crawl2chat.pipelines.extraction.walk import inherit, walk
from crawl2chat.pipelines.sources.records import RawRecord
from crawl2chat.pipelines.sources.warc import read_warc


def whole(html: str) -> str:
    """A page's text with every block kept."""
    page = read_page(html)
    return compose(page, [*range(len(page.texts))])


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>One  <b>bold</b>\n word<p>Two", "One bold word\n\nTwo"),
        ("<h1>Head</h1><div>text <p>inner</p> tail</div>", "Head\n\ntext\n\ninner\n\ntail"),
        ("<ul><li>one<li>two<ul><li>deep</ul></ul><p>end", "one\ntwo\ndeep\n\nend"),
        ("<dl><dt>term<dd>meaning</dl>", "term\nmeaning"),
        ("<table><tr><th>a<th>b<tr><td>1<td>2</table>", "a\tb\n1\t2"),
        ("<table><tr><td>first<br><br>second<p>third</table>", "first\n\nsecond\n\nthird"),
        ("<p>line<br>next<br> <br>paragraph", "line\nnext\n\nparagraph"),
        ("<p>a<br>&nbsp;&nbsp;indented", "a\n  indented"),
        ("<pre>\ndef f():\n    <b>return</b> 1\n\n\nend</pre>", "def f():\n    return 1\n\n\nend"),
        ("<p>a <a href=x>link</a><script>var x = '<p>no';</script> b<button>no</button>", "a link b"),
        ("<nav><p>no</nav><p>yes<aside>no</aside><footer>no", "yes"),
        ("<p><ruby>漢<rt>かん</rt></ruby>字", "漢字"),
        ("<my-card><p>unknown <my-inline>elements</my-inline></my-card>", "unknown\n\nelements"),
        ("<p><b>one</b> <i>two</i>\n<!-- no --> <i>three</i><b>four</b>", "one two threefour"),
        ("<p><b>one</b><button> </button>two<span> <i>three</i></span><div> </div>four", "one two three\n\nfour"),
        ("<pre><b>if</b> <i>a</i>:\n    <b>b</b>\n\n  <b>c</b> \n</pre>", "if a:\n    b\n\n  c"),
        ("<p>a<br> \n <b>b</b> <br>&nbsp;&nbsp;<b>c</b>", "a\nb\n  c"),
        ("<div><div><p>deep</p></div></div>flat<!-- -->ter<br>line", "deep\n\nflatter\nline"),
        ("<p>1 &lt; 2 &amp; 3<!-- no -->", "1 < 2 & 3"),
        ("just text", "just text"),
    ],
)
def test_blocks_and_the_text_they_make(html: str, text: str) -> None:
    assert whole(html) == text


def test_a_page_as_a_tree() -> None:
    page = read_page(
        "<head><title>T &amp; t</title><body class=x><div id=sidebar><p>one <a href=x>two</a></p></div><p>three"
    )
    assert page.title == "T & t"
    assert page.texts == ["one two", "three"]
    assert [*page.linked] == [3, 0]
    first, second = page.owners
    assert page.inherited[first] & BITS[".sidebar"]
    assert not page.inherited[second] & BITS[".sidebar"]
    assert page.own[first] == page.own[second] == BITS["p"]
    assert [*page.starts] == sorted(page.starts)
    assert page.parents[second] == page.parents[page.parents[first]]


@pytest.mark.parametrize(
    ("attributes", "hints"),
    [
        ({"class": "entry-content"}, {".article_body", ".content", ".post"}),
        ({"id": "articleBody"}, {".article_body", ".article", ".body"}),
        ({"class": "widget", "role": "navigation"}, {".sidebar", ".nav"}),
        ({"style": "color: red; display:none"}, {".hidden"}),
        ({"hidden": None}, {".hidden"}),
        ({"style": "text-align: center"}, set()),
        ({"class": "loading", "id": "x"}, set()),
        ({"class": "qwertz"}, set()),
        ({"class": None}, set()),
    ],
)
def test_hints_in_names(attributes: dict[str, str | None], hints: set[str]) -> None:
    found = hint_bits(attributes)
    assert hints <= {name for name, bit in BITS.items() if found & bit}
    assert bool(found) == bool(hints)


def test_bits_fit_a_word() -> None:
    assert len(BITS) == len(set(BITS.values())) <= 63


def odd_pages() -> list[Page]:
    html = ["<p>x", "text", "<h1>h</h1>", "<table><tr><td>1<td>2", "<p>" + "word " * 20_000, "<p>,<p>.<p>…" * 300]
    return [read_page(page) for page in html]


def test_features_are_numbers_and_match_the_model() -> None:
    rows = features(odd_pages()).matrix()
    assert np.isfinite(rows).all()
    assert rows.shape[1] == shipped().weights["w0"].shape[0]
    assert rows.dtype == np.float32


def test_the_first_layer_is_a_product_with_all_columns(shared_data: Path) -> None:
    with (shared_data / "trafilatura-eval" / "pages.warc.gz").open("rb") as handle:
        records = [item for item in read_warc(handle, 10 << 20) if isinstance(item, RawRecord)][:8]
    model, rows = shipped(), features([*odd_pages(), *(read_page(decode(one.html or b"", None)) for one in records)])
    weights, bias = model.weights["w0"], model.weights["b0"]
    exact = rows.matrix().astype(np.float64) @ weights + bias
    assert (rows.names != 0).any(axis=0).all()
    assert np.abs(enter(rows.names, rows.numbers, (weights, bias)) - exact).max() < 1e-4


def test_a_column_for_each_bit() -> None:
    page = read_page("<div class=sidebar><ul><li>one<li class=hidden>two")
    columns = features([page]).matrix()[:, : 4 * len(BITS)].reshape(2, 4, -1)
    for block, (own, around) in enumerate([({"li"}, {"list"}), ({"li", ".hidden"}, {"list"})]):
        names = [{name for name, bit in zip(BITS, level, strict=True) if bit} for level in columns[block]]
        assert names == [own, around, {".sidebar"}, own | around | {".sidebar"}]


def test_each_loop_is_compiled_once() -> None:
    """For one type of each argument: another would cost another second, at the first page that has it."""
    cascade([b"<p>text", "<title>ü</title><pre>a <b>b</b>\n<a href=x>c</a></pre>".encode(), b"<p>x" * 5000, b""])
    for loop in (walk, inherit, characters, describe, enter, leave):
        assert len(loop.signatures) == 1  # type: ignore[attr-defined]


def test_what_is_said_of_a_page_does_not_depend_on_the_others(shared_data: Path) -> None:
    with (shared_data / "trafilatura-eval" / "pages.warc.gz").open("rb") as handle:
        records = [item for item in read_warc(handle, 10 << 20) if isinstance(item, RawRecord)][:60]
    pages = [*odd_pages(), *(read_page(decode(one.html or b"", one.charset)) for one in records)]
    pages = [page for page in pages if page.texts]
    model, counts = shipped(), np.array([len(page.texts) for page in pages])
    together = np.split(model.keep(features(pages), counts), np.cumsum(counts)[:-1])
    for size in (1, 7):
        for start in range(0, len(pages), size):
            some, these = pages[start : start + size], counts[start : start + size]
            apart = model.keep(features(some), these)
            assert np.array_equal(apart, np.concatenate(together[start : start + size]))  # to the last bit


def test_the_network_as_plain_sums() -> None:
    """The compiled loops beside NumPy in double precision, on pages of one block and of more than a window sees."""
    draw, counts = np.random.default_rng(0), np.array([1, 3, 20])
    shapes = [(24, 32), (160, 32), (32,), (160, 32), (32,), (64, 32), (32,), (1,)]
    entered, w1, b1, w2, b2, wp, w3, b3 = (draw.normal(size=shape).astype(np.float32) / 4 for shape in shapes)
    found = leave(entered, counts, (w1, b1), (w2, b2), wp, (w3, b3))

    def convolved(hidden: np.ndarray, weights: np.ndarray, gap: int) -> np.ndarray:
        padded = np.pad(hidden, ((2 * gap, 2 * gap), (0, 0)))
        return np.concatenate([padded[k * gap : k * gap + len(hidden)] for k in range(5)], axis=1) @ weights

    expected = []
    for page in np.split(np.maximum(entered.astype(float), 0), np.cumsum(counts)[:-1]):
        near = np.maximum(convolved(page, w1, 1) + page + b1, 0)
        summary = np.concatenate([page.max(axis=0), page.mean(axis=0)]) @ wp
        far = np.maximum(convolved(near, w2, 3) + near + b2 + summary, 0)
        expected.append(far @ w3 + b3)
    assert np.allclose(found, np.concatenate(expected), atol=1e-4)


def test_furniture_goes_and_the_article_stays() -> None:
    sentence = "The council met on Tuesday evening, and after a long debate it agreed to rebuild the old bridge. "
    html = f"""<html><head><title>Bridge to be rebuilt - Daily</title></head><body>
      <div class="topbar"><ul class="menu"><li><a href=/>Home</a><li><a href=/n>News</a><li><a href=/s>Sport</a></ul>
      </div><div class="main"><article class="post"><h1>Bridge to be rebuilt</h1>
      <div class="share-buttons"><a href=#>Share</a> <a href=#>Tweet</a></div>
      <div class="entry-content"><p>{sentence * 4}</p><h2>The cost</h2><p>{sentence * 3}</p>
      <ul><li>{sentence}</li><li>{sentence}</li></ul><blockquote><p>{sentence}</p></blockquote><p>{sentence * 2}</p>
      </div><div class="related-posts"><h3>Related</h3><a href=/1>Flood in the valley</a> <a href=/2>New school</a>
      </div></article><div id="comments" class="comments"><h3>2 comments</h3>
      <div class="comment"><p>Posted by Ann</p></div></div></div>
      <div class="sidebar"><h4>Most read</h4><ul><li><a href=/3>Cat found</a></ul></div>
      <div class="footer"><p>Copyright 2024 Daily. All rights reserved. <a href=/p>Privacy</a></p></div></html>"""
    text = extract(html.encode(), "utf-8").text
    assert text.count("The council met on Tuesday") == 12
    assert "The cost" in text
    for furniture in ("Sport", "Tweet", "Flood in the valley", "Posted by Ann", "Cat found", "Copyright", "Privacy"):
        assert furniture not in text


def test_where_no_block_is_kept_resiliparse_chooses() -> None:
    assert cascade([b"<title>t</title><body><noscript></noscript>"]) == [("t", "")]
    assert cascade([b"<menu><p>Nothing but this stands here, a sentence."])[0][1] == (
        "Nothing but this stands here, a sentence."
    )


def test_an_article_that_only_the_metadata_states() -> None:
    body = "A long article that a script would show. " * 20
    data = {"@graph": [{"@type": "NewsArticle", "articleBody": body}, {"articleBody": "short"}]}
    script = f'<script type="application/ld+json">{json.dumps(data)}</script>'
    assert cascade([f"<head>{script}<body><div id=app></div>".encode()])[0][1] == body
    assert cascade([b'<script type="application/ld+json">{"articleBody": </script><p>A text.'])[0][1] == "A text."


def test_no_page_is_empty_that_another_engine_finds_text_in(shared_data: Path) -> None:
    with (shared_data / "debian-multilang-html" / "pages.warc.gz").open("rb") as handle:
        pages = [
            (one.html, one.charset) for one in read_warc(handle, 10 << 20) if isinstance(one, RawRecord) and one.html
        ]
    ours, theirs = (extract_all(pages[::5], engine) for engine in ("cascade", "resiliparse"))
    assert not [place for place, (us, them) in enumerate(zip(ours, theirs, strict=True)) if them.text and not us.text]


def test_segments_of_pages_that_taught_nothing(shared_data: Path, gold_pages: Any) -> None:
    """On the held-out half that benchmarks/extraction.py reports on, scored as there."""
    folder = shared_data / "trafilatura-eval"
    pages, gold, urls = gold_pages.load(folder / "pages.warc.gz", folder / "gold.json.gz")
    held = [place for place, url in enumerate(urls) if gold_pages.half(url) == 1]
    assert len(held) == 300
    texts = [found.text for found in extract_all([pages[place] for place in held], "cascade")]
    assert gold_pages.by_segments(texts, [gold[place] for place in held])[2] > 0.9
