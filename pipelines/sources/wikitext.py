"""Wikitext to clean text: prose, section headings and list items stay.

Gone: templates, tables, references, galleries, formulas, comments, files and images, categories and links to other
languages, HTML tags (their text stays). The text of a link stays.

Each step is one pass over the page, as MediaWiki's own preprocessor pairs brackets, with no going back: time is linear
in the page's size whatever it holds. (mwparserfromhell tries each unclosed `{{`, `{|` or tag to the end and returns, so
that a small page of them can take very long. A test compares the texts of a real dump with its.)
"""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Iterable, Iterator

DROPPED_TAGS = {
    "ref", "references", "table", "gallery", "math", "score", "timeline", "imagemap", "hiero", "syntaxhighlight",
    "source", "graph", "chem", "ce", "templatestyles", "mapframe", "maplink", "inputbox", "indicator", "style",
    "script", "section", "includeonly",
}  # fmt: skip
SHOWN_TAGS = {
    "b", "i", "u", "s", "p", "q", "tt", "em", "br", "hr", "li", "ul", "ol", "dl", "dt", "dd", "tr", "td", "th", "rb",
    "rt", "rp", "div", "span", "small", "big", "sub", "sup", "blockquote", "center", "font", "code", "var", "kbd",
    "samp", "pre", "nowiki", "poem", "caption", "h1", "h2", "h3", "h4", "h5", "h6", "cite", "abbr", "del", "ins",
    "strong", "noinclude", "onlyinclude", "wbr", "bdi", "bdo", "ruby", "dfn", "mark", "time", "data", "strike", "tbody",
    "thead",
}  # fmt: skip
MEDIA = frozenset({"file", "image", "media", "category"})  # namespaces whose links show nothing; a dump names its own
DEPTH = 24  # of links in links, as in the captions of images; deeper ones stay as they are

NOWIKI = re.compile(r"<(/?)(nowiki|pre)\b([^<>]{0,200})>", re.IGNORECASE)
TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]{0,20})\b([^<>]{0,4000})>")
BRACES = re.compile(r"\{{2,}|\}{2,}")
CLOSING = re.compile(r"\}{2,}")
PARAMETER = re.compile(r"\|[ \t]*\w[\w -]{0,40}=")
TABLES = re.compile(r"^[ \t:*#]*(\{\|)|^[ \t:]*(\|\})", re.MULTILINE)
LINKS = re.compile(r"(\[\[|\]\])")
LANGUAGE_LINK = re.compile(r"[a-z]{2,3}(?:-[a-z-]+)?\s*:\s*\S")
EXTERNAL = re.compile(r"\[(?:[a-z]{2,10}:)?//[^\s\]\[<>\"]{1,1000}(?:[ \t]+([^\[\]\n]{0,1000}))?\]", re.IGNORECASE)
MAGIC_WORD = re.compile(r"__[A-Z]{3,30}__")
EMPTY_BRACKETS = re.compile(r" ?\((?:[\s,;:]|(?:or|and)\b)*\)")
SPACES = re.compile(r"[ \t]+")
LIST_MARK = re.compile(r"[*#:;]+[ \t]*")
BLANK_LINES = re.compile(r"\n\s*\n")
HEADING = "\x01"  # marks a heading, followed by its level, until empty sections are gone; no page can hold it (XML)
ESCAPES = str.maketrans({"{": "&#123;", "}": "&#125;", "[": "&#91;", "]": "&#93;", "<": "&lt;", "'": "&#39;"})


def plain_text(wikitext: str, media: Collection[str] = MEDIA) -> str:
    """The article's text: paragraphs, headings and lists separated by line ends.

    media: lower-case names of the namespaces of files and categories.
    """
    text = _without_comments(wikitext)
    text = _tags(_literal(text))
    text = _cut(text, _templates(text))
    text = _cut(text, _tables(text))
    text = _links(EXTERNAL.sub(_label, text), media)
    text = EXTERNAL.sub(_label, text)  # again: those whose label held a link
    text = _cut(text, _remnants(text))
    text = MAGIC_WORD.sub("", text).replace("'''", "").replace("''", "")
    lines = (_line(line) for line in EMPTY_BRACKETS.sub("", html.unescape(text)).split("\n"))
    text = "\n".join(line for line in lines if line is not None)
    blocks = BLANK_LINES.split(SPACES.sub(" ", text).strip())
    return "\n\n".join(_without_empty_sections([block.strip("\n") for block in blocks]))


def _without_comments(text: str) -> str:
    parts, at = [], 0
    while (start := text.find("<!--", at)) >= 0 and (end := text.find("-->", start)) >= 0:
        parts.append(text[at:start])
        at = end + 3
    return "".join([*parts, text[at:]])


def _literal(text: str) -> str:
    """What stands in <nowiki> and <pre>, escaped: it is no markup."""
    parts: list[str] = []
    at, opened = 0, None
    for found in NOWIKI.finditer(text):
        if opened is None and not found[1] and not found[3].endswith("/"):
            opened = found
        elif opened is not None and found[1] and found[2].lower() == opened[2].lower():
            parts += [text[at : opened.start()], text[opened.end() : found.start()].translate(ESCAPES)]
            at, opened = found.end(), None
    return "".join([*parts, text[at:]])


def _tags(text: str) -> str:
    """Without HTML tags; of the dropped ones, their contents go too. A tag that is never closed takes nothing along."""
    cuts: list[tuple[int, int]] = []
    breaks: set[int] = set()
    opened: dict[str, list[int]] = {}
    for found in TAG.finditer(text):
        name = found[2].lower()
        if name in DROPPED_TAGS:
            if found[1] and opened.get(name):
                cuts.append((opened[name].pop(), found.end()))
            elif not found[1] and not found[3].rstrip().endswith("/"):
                opened.setdefault(name, []).append(found.start())
        elif name not in SHOWN_TAGS:
            continue
        if name in ("br", "hr"):
            breaks.add(found.start())
        cuts.append(found.span())
    return _cut(text, cuts, breaks)


def _templates(text: str) -> Iterator[tuple[int, int]]:
    """Spans of {{templates}} and {{{parameters}}}: runs of braces paired from the inside, as MediaWiki does."""
    opened: list[list[int]] = []  # start of a run, and how many of its braces are still open
    for found in BRACES.finditer(text):
        start, end = found.span()
        if text[start] == "{":
            opened.append([start, end - start])
            continue
        while end - start >= 2 and opened:
            first, count = opened[-1]
            paired = min(count, end - start)
            start += paired
            opened[-1][1] = count - paired
            yield first + count - paired, start
            if opened[-1][1] < 2:
                opened.pop()


def _remnants(text: str) -> Iterator[tuple[int, int]]:
    """Spans of parameters whose template does not begin: from a line's first `|name=` to a `}}` without partner."""
    at = 0
    for found in CLOSING.finditer(text):
        start = max(at, text.rfind("\n", at, found.start()) + 1)
        if first := PARAMETER.search(text, start, found.start()):
            yield first.start(), found.end()
        at = found.end()


def _tables(text: str) -> Iterator[tuple[int, int]]:
    opened: list[int] = []
    for found in TABLES.finditer(text):
        if found[1]:
            opened.append(found.start(1))
        elif opened:
            yield opened.pop(), found.end()


def _cut(text: str, spans: Iterable[tuple[int, int]], breaks: Collection[int] = ()) -> str:
    """The text without the spans, which may lie in one another; a line end in place of those in `breaks`."""
    parts, at = [], 0
    for start, end in sorted(spans):
        if start >= at:
            parts.append(text[at:start])
            if start in breaks:
                parts.append("\n")
        at = max(at, end)
    return "".join([*parts, text[at:]])


def _links(text: str, media: Collection[str]) -> str:
    """[[Links]] as what they show. Brackets without a partner stay as they are."""
    stack: list[list[str]] = [[]]
    for token in LINKS.split(text):
        if token == "[[" and len(stack) <= DEPTH:
            stack.append([])
        elif token == "]]" and len(stack) > 1:
            inside = "".join(stack.pop())
            stack[-1].append(_shown(inside, media))
        else:
            stack[-1].append(token)
    return "[[".join("".join(parts) for parts in stack)


def _label(external: re.Match[str]) -> str:
    return external[1] or ""


def _shown(link: str, media: Collection[str]) -> str:
    target, bar, label = link.partition("|")
    if target.partition(":")[0].strip().lower() in media or LANGUAGE_LINK.match(target.lstrip()):
        return ""
    return label if bar else target.lstrip(":")


def _line(line: str) -> str | None:
    """A heading marked, a list item with a dash, anything else as it is; None for a rule, or an item left empty."""
    bare = line.strip()
    if bare.startswith("=") and bare.endswith("=") and len(bare) > 2:
        level = min(len(bare) - len(bare.lstrip("=")), len(bare) - len(bare.rstrip("=")), 6)
        return f"\n\n{HEADING}{level}{bare[level:-level].strip()}\n\n"
    mark = LIST_MARK.match(line)
    if mark is None:
        return None if bare and not bare.strip("-") else line
    rest = line[mark.end() :]
    if not rest.strip():
        return None
    return f"- {rest}" if "*" in mark[0] or "#" in mark[0] else rest


def _without_empty_sections(blocks: list[str]) -> list[str]:
    """The blocks without headings that nothing follows, as those of sections that held only templates or references."""
    kept: list[str] = []
    below: int | None = 0  # level of the heading kept last (reading backwards), None after text, 0 at the end
    for block in reversed(blocks):
        if not block.startswith(HEADING):
            if block.strip():
                kept.append(block)
                below = None
            continue
        level = int(block[1])
        if below is None or below > level:
            kept.append(block[2:])
            below = level
    return kept[::-1]
