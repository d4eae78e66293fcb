"""MediaWiki XML dumps (.xml, .xml.bz2): articles as clean text; everything else in the ledger.

The dump is cut into <page> elements by a scan for their tags, and each is parsed on its own. So one broken page costs
one page, memory is one page, and a unit that reads every n-th page does not parse the others.

origin_offset is the page id. Reasons of losses: redirect, not_article (value: the namespace), bad_xml, truncated_bz2,
bad_bz2, too_large.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO
from urllib.parse import quote
from xml.etree import ElementTree

from .dump_text import characters
from .records import Item, Loss, RawRecord
from .wikitext import MEDIA, plain_text

OPEN, CLOSE = "<page>", "</page>"
WHOLE, END = "<mediawiki", "</mediawiki>"
TAIL = 64  # characters in which the dump's end is looked for
NAMESPACE = re.compile(r'<namespace key="(-2|6|14)"[^<>]*>([^<>]+)</namespace>')  # media, files, categories
INFO_LIMIT = 1 << 20  # characters before the first page


@dataclass(frozen=True, slots=True)
class Info:
    """What stands before the pages: names of the namespaces whose links show nothing."""

    media: frozenset[str] = MEDIA


@dataclass(frozen=True, slots=True)
class Page:
    """A page's XML, and its number in the file, from 0."""

    number: int
    xml: str


def read_wikipedia(handle: BinaryIO, site: str, max_bytes: int, part: int = 0, parts: int = 1) -> Iterator[Item]:
    """Items of the pages whose number modulo `parts` is `part`; damage of the file belongs to part 0."""
    media: Collection[str] = MEDIA
    for piece in pages(characters(handle), max_bytes, whole=True):
        if isinstance(piece, Info):
            media = piece.media
        elif isinstance(piece, Loss):
            if part == 0:
                yield piece
        elif piece.number % parts == part:
            yield article(piece.xml, piece.number, f"page{piece.number}", site, media)


def article(xml: str, number: int, place: str, site: str, media: Collection[str] = MEDIA) -> Item:
    """The item of one <page> element."""
    try:
        page = ElementTree.fromstring(xml)
    except ElementTree.ParseError as error:
        return Loss(number, place, "bad_xml", detail=f"page {number} of the file, {error}")
    title = page.findtext("title", "").strip()
    identity = page.findtext("id", "").strip()
    if not title or not (identity.isascii() and identity.isdigit() and len(identity) < 19):
        return Loss(number, place, "bad_xml", detail=f"page {number} of the file has no title or no id")
    url = site + quote(title.replace(" ", "_"), safe="/:(),!'*;@$~&=+-._", errors="replace")
    offset = int(identity)
    space = page.findtext("ns", "0").strip()
    if space != "0":
        number_of_space = float(space) if re.fullmatch(r"-?\d{1,9}", space) else None
        return Loss(offset, place, "not_article", url, number_of_space, title)
    redirect = page.find("redirect")
    if redirect is not None:
        return Loss(offset, place, "redirect", url, detail=f"{title} to {redirect.get('title', '')}")
    date = page.findtext("revision/timestamp", "")
    return RawRecord(offset, place, url, title, date, text=plain_text(page.findtext("revision/text", ""), media))


def pages(
    pieces: Iterable[str | Loss], max_bytes: int, first: int = 0, whole: bool = False
) -> Iterator[Page | Loss | Info]:
    """The <page> elements in order, numbered from `first`. One above max_bytes characters is skipped, not held.

    Where a Loss cuts the text, the page that it cuts is lost too: its halves are never joined to others. An end of a
    page without its beginning is a lost page. whole: a dump that begins as one must end as one; where it is cut between
    two bz2 streams nothing else shows that pages are gone.
    """
    window, number, skipping, informed = "", first, False, False
    opened, piece = False, ""
    for piece in pieces:
        if isinstance(piece, Loss):
            yield piece
            if OPEN in window or skipping:
                yield Loss(number, f"page{number}!", "bad_xml", detail=f"page {number} of the file is cut by damage")
                number += 1
            window, skipping = "", False
            continue
        window += piece
        while True:
            if skipping:
                end = window.find(CLOSE)
                if end < 0:
                    window = window[-len(CLOSE) :]
                    break
                window, skipping = window[end + len(CLOSE) :], False
            start, end = window.find(OPEN), window.find(CLOSE)
            if end >= 0 and (start < 0 or end < start):
                yield Loss(number, f"page{number}!", "bad_xml", detail=f"page {number} of the file has no beginning")
                window, number = window[end + len(CLOSE) :], number + 1
                continue
            if start < 0:
                window = window[-(TAIL if informed else INFO_LIMIT) :]
                break
            if not informed:
                informed, opened = True, WHOLE in window[:start]
                yield Info(MEDIA | {name.strip().lower() for _, name in NAMESPACE.findall(window[:start])})
            broken = window.find(OPEN, start + len(OPEN), end if end >= 0 else len(window))
            if broken >= 0:  # a page that never closes: the next one is whole again
                end = broken - len(CLOSE)
            if end < 0:
                window = window[start:]
                if len(window) > max_bytes:
                    yield Loss(number, f"page{number}!", "too_large", detail=f"page {number} of the file")
                    skipping, number = True, number + 1
                    continue
                break
            yield Page(number, window[start : end + len(CLOSE)])
            window, number = window[end + len(CLOSE) :], number + 1
    if OPEN in window or skipping:
        yield Loss(number, f"page{number}!", "bad_xml", detail=f"the file ends inside page {number}")
    elif whole and opened and END not in window and not isinstance(piece, Loss):
        yield Loss(number, f"page{number}!", "bad_xml", detail=f"the file ends without {END}: pages are missing")
