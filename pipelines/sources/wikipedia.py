"""MediaWiki XML dumps (.xml, .xml.bz2): articles as clean text; everything else in the ledger.

The dump is cut into <page> elements by a scan for their tags, and each is parsed on its own. So one broken page costs
one page, memory is one page, and a unit that reads every n-th page does not parse the others.

origin_offset is the page id. Reasons of losses: redirect, not_article (value: the namespace), bad_xml, truncated_bz2,
bad_bz2, too_large.
"""

from __future__ import annotations

import bz2
import codecs
from collections.abc import Iterator
from typing import BinaryIO
from urllib.parse import quote
from xml.etree import ElementTree

from .records import Item, Loss, RawRecord
from .wikitext import plain_text

CHUNK = 1 << 18
OPEN, CLOSE = "<page>", "</page>"
BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def read_wikipedia(handle: BinaryIO, site: str, max_bytes: int, part: int = 0, parts: int = 1) -> Iterator[Item]:
    """Items of the pages whose number modulo `parts` is `part`; damage of the file belongs to part 0."""
    for number, piece in enumerate(_pages(handle, max_bytes)):
        if isinstance(piece, Loss):
            if part == 0:
                yield piece
        elif number % parts == part:
            yield _page(piece, number, site)


def _page(xml: str, number: int, site: str) -> Item:
    try:
        page = ElementTree.fromstring(xml)
    except ElementTree.ParseError as error:
        return Loss(number, f"page{number}", "bad_xml", detail=f"page {number} of the file, {error}")
    title = page.findtext("title", "").strip()
    identity = page.findtext("id", "").strip()
    if not title or not identity.isdigit():
        return Loss(number, f"page{number}", "bad_xml", detail=f"page {number} of the file has no title or no id")
    url = site + quote(title.replace(" ", "_"), safe="/:(),!'*;@$~&=+-._")
    offset, place = int(identity), f"page{number}"
    space = page.findtext("ns", "0").strip()
    if space != "0":
        return Loss(offset, place, "not_article", url, float(space) if space.lstrip("-").isdigit() else None, title)
    redirect = page.find("redirect")
    if redirect is not None:
        return Loss(offset, place, "redirect", url, detail=f"{title} to {redirect.get('title', '')}")
    date = page.findtext("revision/timestamp", "")
    return RawRecord(offset, place, url, title, date, text=plain_text(page.findtext("revision/text", "")))


def _pages(handle: BinaryIO, max_bytes: int) -> Iterator[str | Loss]:
    """The <page> elements, in order; a page above max_bytes characters is skipped, not held."""
    window, skipping, number = "", False, 0
    for chunk in _characters(handle):
        if isinstance(chunk, Loss):
            yield chunk
            continue
        window += chunk
        while True:
            if skipping:
                end = window.find(CLOSE)
                if end < 0:
                    window = window[-len(CLOSE) :]
                    break
                window, skipping = window[end + len(CLOSE) :], False
            start = window.find(OPEN)
            if start < 0:
                window = window[-len(OPEN) :]
                break
            end = window.find(CLOSE, start)
            broken = window.find(OPEN, start + len(OPEN), end if end >= 0 else len(window))
            if broken >= 0:  # a page that never closes: the next one is whole again
                end = broken - len(CLOSE)
            if end < 0:
                window = window[start:]
                if len(window) > max_bytes:
                    yield Loss(number, f"page{number}!", "too_large", detail=f"page {number} of the file")
                    skipping = True
                    continue
                break
            yield window[start : end + len(CLOSE)]
            window, number = window[end + len(CLOSE) :], number + 1
    if OPEN in window or skipping:
        yield Loss(number, f"page{number}!", "bad_xml", detail=f"the file ends inside page {number}")


def _characters(handle: BinaryIO) -> Iterator[str | Loss]:
    """Decoded pieces of the file; bytes that are no characters become U+FFFD."""
    decoder: codecs.IncrementalDecoder | None = None
    for data in _inflated(handle):
        if isinstance(data, Loss):
            yield data
            continue
        if decoder is None:
            encoding = next((name for bom, name in BOMS.items() if data.startswith(bom)), "utf-8")
            decoder = codecs.getincrementaldecoder(encoding)("replace")
        yield decoder.decode(data)


def _inflated(handle: BinaryIO) -> Iterator[bytes | Loss]:
    """Bytes of a plain or bz2 file (any number of bz2 streams), then the damage that ends it, if any."""
    compressed = handle.read(3) == b"BZh"
    handle.seek(0)
    if not compressed:
        while chunk := handle.read(CHUNK):
            yield chunk
        return
    inflater, read = bz2.BZ2Decompressor(), 0
    while chunk := handle.read(CHUNK):
        read += len(chunk)
        while chunk:
            try:
                data = inflater.decompress(chunk, CHUNK)
                while data:
                    yield data
                    data = b"" if inflater.eof or inflater.needs_input else inflater.decompress(b"", CHUNK)
            except OSError as error:
                yield Loss(read, f"byte{read}", "bad_bz2", detail=f"before byte {read}: {error}")
                return
            chunk = inflater.unused_data
            if inflater.eof and chunk:
                inflater = bz2.BZ2Decompressor()
    if not inflater.eof:
        yield Loss(read, f"byte{read}", "truncated_bz2", detail="the file ends inside a bz2 stream")
