"""A page as blocks: runs of text between the borders of block elements, with the elements around them.

In: a page. Out: `Page`: its title, the blocks in their order, and the tree of the block elements that
hold text, as flat arrays that NumPy takes over in features.py. Inline elements (b, span, em …) leave no trace but
links, whose characters are counted. The text of elements that never hold main text (script, nav …) is left out.

The parser is lexbor (selectolax): it reads what browsers read, in a fraction of libxml2's time. A page has some six
times as many nodes as it has texts; so elements are looked at only when a text asks what it stands in.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field

from selectolax.lexbor import LexborDocumentOptions, LexborHTMLParser, LexborNode

from .hints import TAG_BITS, hint_bits

STRIPPED = ["script", "style", "svg", "nav", "footer", "aside"]  # common and large: removed in the parser's own C
LEFT_OUT = frozenset(
    [
        *(*STRIPPED, "noscript", "template", "iframe", "object", "embed", "applet", "audio", "video", "canvas", "map"),
        *("select", "datalist", "textarea", "button", "progress", "menu", "head", "noframes", "noembed"),
        *("rp", "rt"),  # readings beside ideographs: doubled words
    ]
)
INLINE = frozenset(
    [
        *("abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font", "i", "img"),
        *("input", "ins", "kbd", "label", "mark", "math", "meter", "nobr", "output", "q", "ruby", "s"),
        *("samp", "small", "span", "strike", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr", "-comment"),
    ]
)
KIND_INLINE, KIND_LINK, KIND_LEFT_OUT, KIND_BREAK, KIND_TEXT = -1, -2, -3, -4, -5  # a block element's are its bits
KNOWN_TAGS = 512  # beyond: addresses of names that lexbor does not know, which mean nothing to the next page
NOWHERE = -1
LINE_BREAK = "\x01"
KEPT_BLANK = "\x02"
BREAKS = re.compile(rf" *{LINE_BREAK}(?: (?! ))?")  # two blanks or more are no-break spaces: they indent


def _integers() -> array[int]:
    return array("q")


def _root() -> array[int]:
    return array("q", [0])


@dataclass(slots=True)
class Page:
    """Blocks (text, element, characters in links) and block elements (parent, bits, number of blocks before it)."""

    title: str = ""
    texts: list[str] = field(default_factory=list)
    owners: array[int] = field(default_factory=_integers)
    linked: array[int] = field(default_factory=_integers)
    parents: array[int] = field(default_factory=_root)  # the root is its own
    own: array[int] = field(default_factory=_root)  # bits of the element's tag and names
    inherited: array[int] = field(default_factory=_root)  # these and those of all elements around it
    starts: array[int] = field(default_factory=_root)

    def add(self, owner: int, parts: list[str], linked: int) -> None:
        """A block, whose text is still as it stands in the page."""
        self.texts.append("".join(parts))
        self.owners.append(owner)
        self.linked.append(linked)


def read_page(html: bytes | str) -> Page:
    """Parse a page (bytes: valid UTF-8), and walk through it once."""
    tree = LexborHTMLParser(html, options=LexborDocumentOptions.WO_EVENTS)  # no mirrors of chosen options
    title = tree.css_first("head title")
    page = Page(title.text() if title is not None else "")
    tree.strip_tags(STRIPPED)
    if tree.body is not None:
        _walk(tree.body, page)
        page.texts = [_clean(raw, page.inherited[owner]) for raw, owner in zip(page.texts, page.owners, strict=True)]
    return page


def _walk(body: LexborNode, page: Page) -> None:
    """Collect blocks. A block ends where a block element begins or ends, and at two line breaks."""
    root = body.parent
    assert root is not None
    assert root.parent is not None
    places = {root.parent.mem_id: 0}  # of elements by address: the block element's number, doubled, + 1 inside a link
    place_of, kind_of, enter = places.get, _kinds.get, _entrance(places, page)
    parts: list[str] = []
    current, links, breaks = NOWHERE, 0, 0
    for node in body.traverse(include_text=True):
        kind = kind_of(node.tag_id)
        if kind is None:
            kind = _learn(node)
        if kind == KIND_TEXT:
            text = node.text_content
            if not text or text.isspace():
                if parts and text:
                    parts.append(text)
                continue
            around = node.parent
            place = place_of(around.mem_id)  # type: ignore[union-attr]  # a text stands in an element
            if place is None:
                place = enter(around, len(page.texts) + bool(parts))  # type: ignore[arg-type]
            if place == NOWHERE:
                continue
            owner = place >> 1
            if owner != current or breaks > 1:
                if parts:
                    page.add(current, parts, links)
                    parts = []
                current, links = owner, 0
            elif breaks:
                parts.append(LINE_BREAK)
            breaks = 0
            parts.append(text)
            if place & 1:
                links += len(text)
        elif kind >= 0:
            if parts:
                page.add(current, parts, links)
                parts = []
            current = NOWHERE
            links = breaks = 0
        elif kind == KIND_BREAK:
            breaks += 1
    if parts:
        page.add(current, parts, links)


def _entrance(places: dict[int, int], page: Page) -> Callable[[LexborNode, int], int]:
    """The function that gives an element its place when a text first asks for it; elements around it get theirs first.

    Its second argument is the number of blocks before the element. A closure, as it runs for all elements around texts.
    """
    place_of, kind_of, inherited = places.get, _kinds.get, page.inherited
    parents, own, inherit, starts = page.parents.append, page.own.append, inherited.append, page.starts.append

    def enter(node: LexborNode, blocks: int) -> int:
        address = node.mem_id
        chain = []
        while (place := place_of(address)) is None:
            chain.append((node, address))
            node = node.parent  # type: ignore[assignment]  # the document has its place
            address = node.mem_id
        for element, address in reversed(chain):
            kind = kind_of(element.tag_id)
            if kind is None:
                kind = _learn(element)
            if place == NOWHERE or kind == KIND_LEFT_OUT:
                place = NOWHERE
            elif kind == KIND_LINK:
                place |= 1
            elif kind >= 0:
                outer = place >> 1
                attributes = element.attributes
                if attributes:
                    kind |= hint_bits(attributes)
                place = len(inherited) << 1 | (place & 1)
                parents(outer)
                own(kind)
                inherit(inherited[outer] | kind)
                starts(blocks)
            places[address] = place
        return place

    return enter


_kinds: dict[int, int] = {}  # of lexbor's tag numbers, which stand for names


def _learn(node: LexborNode) -> int:
    """The kind of a node whose tag number was not seen yet."""
    name = node.tag or ""
    if node.is_text_node:
        kind = KIND_TEXT
    elif name == "br":
        kind = KIND_BREAK
    elif name == "a":
        kind = KIND_LINK
    elif name in INLINE or ":" in name or not node.is_element_node:
        kind = KIND_INLINE
    else:
        kind = KIND_LEFT_OUT if name in LEFT_OUT else TAG_BITS.get(name, 0)
    if node.tag_id < KNOWN_TAGS:
        _kinds[node.tag_id] = kind
    return kind


def _clean(raw: str, around: int) -> str:
    """Blanks as HTML shows them: runs of them are one, but no-break spaces count; all count in <pre>."""
    if around & TAG_BITS["pre"]:
        return raw.replace(LINE_BREAK, "\n").strip("\r\n").rstrip()
    if "\n" not in raw and "  " not in raw and "\xa0" not in raw and "\t" not in raw and LINE_BREAK not in raw:
        return raw.strip()  # many a paragraph; the way below costs a split into words
    text = " ".join((raw.replace("\xa0", KEPT_BLANK) if "\xa0" in raw else raw).split()).replace(KEPT_BLANK, " ")
    return BREAKS.sub("\n", text) if LINE_BREAK in text else text
