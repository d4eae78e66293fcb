"""A page as blocks: runs of text between the borders of block elements, with the elements around them.

In: a page. Out: `Page`: its title, the blocks in their order, and the tree of the block elements that hold text, as
columns. kinds.py says which elements are looked into and which end a block.

The parser is lexbor (selectolax): it reads what browsers read, in a fraction of libxml2's time. A page has some ten
times as many nodes as blocks, so no line of Python looks at each: they are read into columns, through which the
compiled walk goes. Names are read only of elements that hold text, blank texts only where two texts of a block meet.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import compress, pairwise
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray
from selectolax.lexbor import LexborDocumentOptions, LexborHTMLParser, LexborNode

from .hints import TAG_BITS, hint_bits
from .kinds import STRIPPED, kinds_of
from .walk import BREAK, Ints, Walked, inherit, walk

LINE_BREAK = "\x01"
KEPT_BLANK = "\x02"
BLANK = frozenset(" \t\n\r\f")
BREAKS = re.compile(rf" *{LINE_BREAK}(?: (?! ))?")  # two blanks or more are no-break spaces: they indent


def _none() -> Ints:
    return np.zeros(0, np.int64)


@dataclass(slots=True)
class Page:
    """Blocks (text, element, characters in links) and block elements (parent, bits, number of blocks before it)."""

    title: str = ""
    texts: list[str] = field(default_factory=list)
    owners: Ints = field(default_factory=_none)
    linked: Ints = field(default_factory=_none)
    parents: Ints = field(default_factory=_none)  # the root is its own
    own: Ints = field(default_factory=_none)  # bits of the element's tag and names
    inherited: Ints = field(default_factory=_none)  # these and those of all elements around it
    starts: Ints = field(default_factory=_none)


def read_page(html: bytes | str) -> Page:
    """Parse a page (bytes: valid UTF-8), and walk through it once."""
    tree = LexborHTMLParser(html, options=LexborDocumentOptions.WO_EVENTS)  # no mirrors of chosen options
    title = tree.css_first("head title")
    page = Page(title.text() if title is not None else "")
    tree.strip_tags(STRIPPED)
    if tree.body is not None:
        with _no_collector():
            _read(tree.body, page)
    return page


@contextmanager
def _no_collector() -> Iterator[None]:
    """Thousands of nodes at once wake Python's collector of cycles, which looks through all that the process holds; but
    nodes hold no cycles, and go with the function that read them."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _read(body: LexborNode, page: Page) -> None:
    """Fill the page with what stands in its body."""
    root = body.parent
    assert root is not None
    nodes = [root, *body.traverse(include_text=True, skip_empty=True)]
    kinds = kinds_of(nodes, _column(attrgetter("tag_id"), nodes))
    is_piece = kinds <= BREAK
    pieces = [*compress(nodes, is_piece.tolist())]
    texts = [node.text_content or LINE_BREAK for node in pieces]
    sizes = _column(len, texts)
    sizes[_column(str.isspace, texts).astype(bool)] = 0
    solid = ~is_piece
    solid[is_piece] = (sizes > 0) & (kinds[is_piece] != BREAK)
    standing = [*compress(nodes, solid.tolist())]
    addresses, around = _column(attrgetter("mem_id"), standing), _column(attrgetter("parent.mem_id"), standing)
    walked = walk(kinds, sizes, addresses, around)

    named = [nodes[node].attributes for node in walked.nodes[1:].tolist()]
    hints = [0, *(hint_bits(attributes) if attributes else 0 for attributes in named)]
    page.own = np.array(hints, np.int64)
    page.own[1:] |= kinds[walked.nodes[1:]]
    page.owners, page.linked, page.parents, page.starts = walked.owners, walked.linked, walked.parents, walked.starts
    page.inherited = inherit(page.parents, page.own)
    verbatim = (page.inherited[page.owners] & TAG_BITS["pre"]) > 0
    page.texts = [*map(_clean, _joined(pieces, texts, walked, verbatim), verbatim.tolist())]


def _column(value: Callable[..., int], items: Sequence[object]) -> Ints:
    return np.fromiter(map(value, items), np.int64, len(items))


def _joined(pieces: list[LexborNode], texts: list[str], walked: Walked, verbatim: NDArray[np.bool_]) -> list[str]:
    """The blocks' texts as they stand in the page. Blanks between two texts count where neither has one there."""
    used = np.flatnonzero(walked.pieces >= 0)
    block = walked.pieces[used]
    meet = np.flatnonzero(block[1:] == block[:-1])
    exact = verbatim[block[meet]]
    for before, after, all_count in zip(*(part.tolist() for part in (used[meet], used[meet + 1], exact)), strict=True):
        if all_count or not (texts[before][-1] in BLANK or texts[after][0] in BLANK):
            texts[before] += _blanks(pieces[before], pieces[after])
    parts = [texts[place] for place in used.tolist()]
    ends = np.cumsum(np.bincount(block)).tolist()
    return ["".join(parts[start:end]) for start, end in pairwise([0, *ends])]


def _blanks(before: LexborNode, after: LexborNode) -> str:
    """The blank texts between two nodes, which were passed over: most stand between blocks and mean nothing."""
    found, node, end = "", before, after.mem_id
    while True:
        following = node.first_child
        while following is None:
            following = node.next
            if following is None:
                node = node.parent
                assert node is not None  # as a node stands behind it
        node = following
        if node.mem_id == end:
            return found
        if node.is_empty_text_node:
            found += node.text_content or ""


def _clean(raw: str, verbatim: bool) -> str:
    """Blanks as HTML shows them: runs of them are one, but no-break spaces count; all count in <pre>."""
    if verbatim:
        return raw.replace(LINE_BREAK, "\n").strip("\r\n").rstrip()
    if "\n" not in raw and "  " not in raw and "\xa0" not in raw and "\t" not in raw and LINE_BREAK not in raw:
        return raw.strip()
    if "\xa0" in raw:
        text = " ".join(raw.replace("\xa0", KEPT_BLANK).split()).replace(KEPT_BLANK, " ")
    else:
        text = " ".join(raw.split())
    return BREAKS.sub("\n", text) if LINE_BREAK in text else text
