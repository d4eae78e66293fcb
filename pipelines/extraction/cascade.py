"""The default engine: blocks, a small model that keeps or drops each, and resiliparse where nothing is kept.

In: a page's characters. Out: title and text, not yet normalised. Paragraphs are parted by a blank line, list items,
table rows and line breaks by a line end, cells by a tab; <pre> keeps its lines.
"""

from __future__ import annotations

from .blocks import Page, read_page
from .features import features
from .hints import TAG_BITS
from .model import shipped
from .peers import resiliparse

THRESHOLD = 0.5
LINES = TAG_BITS["li"] | TAG_BITS["dt"] | TAG_BITS["dd"] | TAG_BITS["td"]


def cascade(html: str) -> tuple[str, str]:
    """Title and main content of a page."""
    page = read_page(html)
    if page.texts:
        kept = shipped().keep(features(page)) >= THRESHOLD
        if kept.any():
            return page.title, compose(page, kept.nonzero()[0].tolist())
    return resiliparse(html)


def compose(page: Page, kept: list[int]) -> str:
    """The kept blocks as one text."""
    texts, owners, own, inherited, parents = page.texts, page.owners, page.own, page.inherited, page.parents
    parts: list[str] = []
    before = -1
    for block in kept:
        owner = owners[block]
        if before >= 0:
            both = inherited[before] & inherited[owner]
            if own[before] & own[owner] & TAG_BITS["td"] and parents[before] == parents[owner] and before != owner:
                parts.append("\t")
            else:
                parts.append("\n" if both & LINES else "\n\n")
        parts.append(texts[block])
        before = owner
    return "".join(parts)
