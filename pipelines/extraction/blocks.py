"""A page as blocks: runs of text between the borders of block elements, with the elements around them.

In: the page's characters. Out: `Page`: its title, the blocks in their order, and the tree of block elements, all as flat
lists that NumPy takes over in features.py. Inline elements (b, span, em …) leave no trace but links, whose characters
are counted. Elements that are never text (script, nav, footer …) are removed before, in the parser's own C code.

The parser is lexbor (selectolax): it reads what browsers read, in a fraction of libxml2's time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from selectolax.lexbor import LexborHTMLParser

from .hints import TAG_BITS, hint_bits

REMOVED = [
    *("script", "style", "noscript", "template", "svg", "iframe", "object", "embed", "applet", "audio", "video"),
    *("canvas", "map", "select", "datalist", "textarea", "button", "progress", "nav", "footer", "aside", "menu"),
]
INLINE = frozenset(
    [
        "a",
        "abbr",
        "acronym",
        "b",
        "bdi",
        "bdo",
        "big",
        "cite",
        "code",
        "data",
        "del",
        "dfn",
        "em",
        "font",
        "i",
        "img",
        "input",
        "ins",
        "kbd",
        "label",
        "mark",
        "math",
        "meter",
        "nobr",
        "output",
        "q",
        "rp",
        "rt",
        "ruby",
        "s",
        "samp",
        "small",
        "span",
        "strike",
        "strong",
        "sub",
        "sup",
        "time",
        "tt",
        "u",
        "var",
        "wbr",
    ]
)
LINE_BREAK = "\x01"
BLANKS = re.compile(r"[ \t\n\r\f]+")
BREAKS = re.compile(rf" *{LINE_BREAK}(?: (?! ))?")  # two blanks or more are no-break spaces: they indent
PARAGRAPH_BREAKS = re.compile(rf"(?: *{LINE_BREAK}){{2,}}(?: (?! ))?")


@dataclass(slots=True)
class Page:
    """Blocks (text, element, characters in links) and block elements (parent, bits, depth, range of blocks)."""

    title: str = ""
    texts: list[str] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)  # a block's element
    linked: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)  # an element's parent; the root is its own
    own: list[int] = field(default_factory=list)  # bits of the element's tag and names
    inherited: list[int] = field(default_factory=list)  # and of all elements around it
    depths: list[int] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)  # number of blocks before the element


class _Tags:
    """What to do with a lexbor tag number: learned from the first element that has it."""

    def __init__(self) -> None:
        probe = LexborHTMLParser("<br>x").body
        assert probe is not None
        self.line_break, self.text = (child.tag_id for child in probe.iter(include_text=True))
        self.bits: dict[int, int] = {}  # of block elements; inline ones have -1, links -2


_tags = _Tags()
BLOCK_KIND, LINK_KIND = 0, -2


def read_page(html: str) -> Page:
    """Parse and walk a page once."""
    tree = LexborHTMLParser(html)
    title = tree.css_first("head title")
    page = Page(title.text() if title is not None else "")
    tree.strip_tags(REMOVED)
    if tree.body is not None:
        _walk(tree.body, page)
    return page


def _walk(body, page: Page) -> None:
    """Collect blocks. `places` maps a node's address to its block element's number, doubled, plus 1 inside a link."""
    text_tag, break_tag, kinds = _tags.text, _tags.line_break, _tags.bits
    parents, own, inherited, depths, starts = page.parents, page.own, page.inherited, page.depths, page.starts
    places: dict[int, int] = {body.parent.mem_id: 0}
    parents.append(0)
    own.append(0)
    inherited.append(0)
    depths.append(0)
    starts.append(0)
    parts: list[str] = []
    current, linked = -1, 0
    for node in body.traverse(include_text=True):
        tag = node.tag_id
        place = places.get(node.parent.mem_id, 0)
        if tag == text_tag:
            text = node.text_content
            owner = place >> 1
            if owner != current:
                if not text or text.isspace():
                    continue
                if parts:
                    _flush(page, current, parts, linked)
                parts, current, linked = [], owner, 0
            parts.append(text)
            if place & 1:
                linked += len(text)
        elif tag == break_tag:
            parts.append(LINE_BREAK)
        else:
            bits = kinds.get(tag)
            if bits is None:
                name = node.tag or ""
                bits = kinds[tag] = (
                    -2 if name == "a" else -1 if name in INLINE or ":" in name else TAG_BITS.get(name, 0)
                )
            if bits == -1:
                places[node.mem_id] = place
            elif bits == -2:
                places[node.mem_id] = place | 1
            else:
                if parts:
                    _flush(page, current, parts, linked)
                    parts, current, linked = [], -1, 0
                number = len(parents)
                above = place >> 1
                attributes = node.attributes
                mine = bits | hint_bits(attributes) if attributes else bits
                parents.append(above)
                own.append(mine)
                inherited.append(inherited[above] | mine)
                depths.append(depths[above] + 1)
                starts.append(len(page.texts))
                places[node.mem_id] = number << 1 | (place & 1)
    if parts:
        _flush(page, current, parts, linked)


def _flush(page: Page, owner: int, parts: list[str], linked: int) -> None:
    """End a block: collapse its blanks, except in <pre>; two line breaks make two blocks."""
    whole = "".join(parts)
    if page.inherited[owner] & TAG_BITS["pre"]:
        pieces = [whole.replace(LINE_BREAK, "\n").rstrip()]
        pieces[0] = pieces[0].lstrip("\r\n")
    elif LINE_BREAK in whole:
        collapsed = _collapse(whole).strip(LINE_BREAK + " ")
        pieces = [BREAKS.sub("\n", piece) for piece in PARAGRAPH_BREAKS.split(collapsed)]
    else:
        pieces = [_collapse(whole)]
    share = linked / len(whole)
    for piece in pieces:
        if piece and owner >= 0 and not piece.isspace():
            page.texts.append(piece)
            page.owners.append(owner)
            page.linked.append(min(len(piece), round(share * len(piece))))


def _collapse(text: str) -> str:
    """Blanks as HTML shows them: runs of them are one, but no-break spaces count."""
    if "\xa0" in text:
        return BLANKS.sub(" ", text).strip(" ").replace("\xa0", " ")
    return " ".join(text.split())
