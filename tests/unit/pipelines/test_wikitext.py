"""Wikitext becomes clean text: case by case, against mwparserfromhell, and in bounded time."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from collections import Counter
from typing import Any

import mwparserfromhell
import pytest
from crawl2chat.pipelines.sources.wikitext import DROPPED_TAGS, plain_text
from mwparserfromhell.nodes import ExternalLink, Heading, HTMLEntity, Text, Wikilink
from mwparserfromhell.nodes import Tag as MwTag


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


def test_texts_have_the_words_of_mwparserfromhell(english_dump: bytes) -> None:
    """On all articles of the real dump: its parser, with the same things dropped, as the oracle. docs/sources.md."""
    texts = [found[1] for found in re.finditer(r"<text[^>]*>(.*?)</text>", english_dump.decode(), re.DOTALL)]
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
