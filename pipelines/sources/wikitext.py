"""Wikitext to clean text, with mwparserfromhell: prose, section headings and list items stay.

Gone: templates, tables, references, galleries, formulas, comments, files and images, categories and links to other
languages, HTML tags (their text stays). The text of a link stays.
"""

from __future__ import annotations

import re

import mwparserfromhell
from mwparserfromhell.nodes import (
    Argument,
    Comment,
    ExternalLink,
    Heading,
    HTMLEntity,
    Node,
    Tag,
    Template,
    Text,
    Wikilink,
)
from mwparserfromhell.wikicode import Wikicode

DROPPED_TAGS = {
    "ref", "references", "table", "gallery", "math", "score", "timeline", "imagemap", "hiero", "syntaxhighlight",
    "source", "graph", "chem", "templatestyles", "mapframe", "inputbox", "indicator", "style", "script",
}  # fmt: skip
MEDIA_LINK = re.compile(r"\s*(?:file|image|media|category|файл|картинка|категория)\s*:", re.IGNORECASE)
LANGUAGE_LINK = re.compile(r"\s*[a-z]{2,3}(?:-[a-z-]+)?\s*:\s*\S")
MAGIC_WORD = re.compile(r"__[A-Z]+__")
EMPTY_BRACKETS = re.compile(r" ?\((?:[\s,;:]|(?:or|and)\b)*\)")
SPACES = re.compile(r"[ \t]+")
BARE_BULLET = re.compile(r"^-[- ]*(?:\n|\Z)", re.MULTILINE)  # what a list item of only a template or a file leaves
BULLETS = re.compile(r"^-[- ]*", re.MULTILINE)
BLANK_LINES = re.compile(r"\n\s*\n+")
HEADING = "\x01"  # marks a heading, followed by its level, until empty sections are gone; no page can hold it (XML)
LIST_ITEM = {"li": "-", "dd": "", "dt": ""}


def plain_text(wikitext: str) -> str:
    """The article's text: paragraphs, headings and lists separated by line ends."""
    parsed = mwparserfromhell.parse(wikitext, skip_style_tags=True)
    text = MAGIC_WORD.sub("", _render(parsed)).replace("'''", "").replace("''", "")
    text = BULLETS.sub("- ", BARE_BULLET.sub("", SPACES.sub(" ", EMPTY_BRACKETS.sub("", text))))
    return "\n\n".join(_without_empty_sections(BLANK_LINES.split(text.strip())))


def _render(code: Wikicode | None) -> str:
    return "".join(_node(node) for node in code.nodes) if code is not None else ""


def _node(node: Node) -> str:
    if isinstance(node, Text):
        return str(node.value)
    if isinstance(node, Wikilink):
        return _link(node)
    if isinstance(node, Heading):
        return f"\n\n{HEADING}{node.level}{_render(node.title).strip()}\n\n"
    if isinstance(node, HTMLEntity):
        return node.normalize() or ""
    if isinstance(node, ExternalLink):
        return _render(node.title) if node.brackets else str(node.url)
    if isinstance(node, Tag):
        return _tag(node)
    assert isinstance(node, Template | Argument | Comment), f"unknown node {type(node).__name__}"
    return ""


def _link(node: Wikilink) -> str:
    title = str(node.title)
    if MEDIA_LINK.match(title) or LANGUAGE_LINK.match(title):
        return ""
    if node.text is not None:
        return _render(node.text)
    return _render(node.title).lstrip(":")


def _tag(node: Tag) -> str:
    name = str(node.tag).strip().lower()
    if name in DROPPED_TAGS:
        return ""
    if name == "br":
        return "\n"
    if node.wiki_markup and name in LIST_ITEM:
        return LIST_ITEM[name]
    return _render(node.contents)


def _without_empty_sections(blocks: list[str]) -> list[str]:
    """The blocks without headings that nothing follows, as those of sections that held only templates or references."""
    kept: list[str] = []
    below: int | None = 0  # level of the heading kept last (reading backwards), None after text, 0 at the end
    for block in reversed(blocks):
        if not block.startswith(HEADING):
            if block:
                kept.append(block)
                below = None
            continue
        level = int(block[1])
        if below is None or below > level:
            kept.append(block[2:])
            below = level
    return kept[::-1]
