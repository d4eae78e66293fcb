"""The default engine: blocks, and a small model that keeps or drops each; dearer ways where it keeps next to nothing.

In: pages in UTF-8. Out: titles and texts, not yet normalised. Paragraphs are parted by a blank line, list items,
table rows and line breaks by a line end, cells by a tab; <pre> keeps its lines.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .blocks import Page, read_page
from .features import features
from .hints import TAG_BITS
from .model import shipped
from .peers import resiliparse
from .stated import stated_body

THRESHOLD = 0.5
LITTLE = 200  # characters: an article that the page's metadata states is asked for
LINES = TAG_BITS["li"] | TAG_BITS["dt"] | TAG_BITS["dd"] | TAG_BITS["td"]


def cascade(pages: Sequence[bytes]) -> list[tuple[str, str]]:
    """Title and main content of each page. More pages at a time cost less; what is kept of one does not change."""
    read = [read_page(html) for html in pages]
    filled = [page for page in read if page.texts]
    kept = iter(_kept(filled) if filled else [])
    found = [(page.title, compose(page, next(kept)) if page.texts else "") for page in read]
    return [
        (title, text) if len(text) >= LITTLE else _again(html, title, text)
        for (title, text), html in zip(found, pages, strict=True)
    ]


def _again(html: bytes, title: str, text: str) -> tuple[str, str]:
    """For a page of which little was kept: the article that it states, else that little, else resiliparse's choice."""
    stated = stated_body(html)
    if len(stated) > 2 * len(text):
        return title, stated
    return (title, text) if text else resiliparse([html])[0]


def _kept(pages: list[Page]) -> list[list[int]]:
    """The blocks that the model keeps, of each page."""
    counts = np.array([len(page.texts) for page in pages])
    keep = shipped().keep(features(pages), counts) >= THRESHOLD
    return [np.flatnonzero(part).tolist() for part in np.split(keep, np.cumsum(counts)[:-1])]


def compose(page: Page, kept: list[int]) -> str:
    """The kept blocks as one text."""
    texts, owners = page.texts, page.owners.tolist()
    own, inherited, parents = page.own, page.inherited, page.parents
    parts: list[str] = []
    before = -1
    for block in kept:
        owner = owners[block]
        if before >= 0:
            line = owner != before and own[owner] & LINES and inherited[before] & LINES
            cells = line and own[before] & own[owner] & TAG_BITS["td"] and parents[before] == parents[owner]
            parts.append("\t" if cells else "\n" if line else "\n\n")
        parts.append(texts[block])
        before = owner
    return "".join(parts)
