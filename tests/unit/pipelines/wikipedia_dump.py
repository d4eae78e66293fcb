"""Dumps of MediaWiki in tests: pages, plain dumps, multistream ones with their index, and how they are read."""

from __future__ import annotations

import bz2
import io
import re
from collections import Counter
from pathlib import Path
from typing import Any

from crawl2chat.pipelines.sources.multistream import multistream_specs, read_streams
from crawl2chat.pipelines.sources.records import Item, Loss
from crawl2chat.pipelines.sources.wikipedia import read_wikipedia

SITE = "https://en.wikipedia.org/wiki/"
NAME = "enwiki-20160501-pages-articles-multistream"


def read(data: bytes, part: int = 0, parts: int = 1, max_bytes: int = 1 << 20) -> list[Item]:
    return list(read_wikipedia(io.BytesIO(data), SITE, max_bytes, part, parts))


def page(number: int, text: str = "Text.", extra: str = "<ns>0</ns>") -> str:
    return (
        f"<page><title>Page {number}?</title>{extra}<id>{number}</id>"
        f"<revision><timestamp>2020-01-01T00:00:00Z</timestamp><text>{text}</text></revision></page>\n"
    )


def dump(*pages: str) -> bytes:
    return ("<mediawiki>" + "".join(pages) + "</mediawiki>").encode()


def reasons(found: list[Item]) -> Counter[str]:
    return Counter(item.reason for item in found if isinstance(item, Loss))


def multistream(folder: Path, data: bytes, pages_in_stream: int = 7) -> tuple[Path, list[int]]:
    """The dump as Wikimedia writes it: header, pages in groups and end as bz2 streams of their own, and the index."""
    pieces = [bytes(found[0]) for found in re.finditer(rb"[ ]*<page>.*?</page>\n?", data, re.DOTALL)]
    header = data[: data.index(pieces[0])]
    written, lines, offsets = bz2.compress(header), [], []
    for start in range(0, len(pieces), pages_in_stream):
        group = pieces[start : start + pages_in_stream]
        offsets.append(len(written))
        for piece in group:
            title, number = (re.search(rb"<%s>(.*?)</" % tag, piece) for tag in (b"title", b"id"))
            assert title is not None and number is not None
            lines.append(b"%d:%s:%s\n" % (offsets[-1], number[1], title[1]))
        written += bz2.compress(b"".join(group))
    (folder / f"{NAME}.xml.bz2").write_bytes(written + bz2.compress(b"</mediawiki>\n"))
    (folder / f"{NAME}-index.txt.bz2").write_bytes(bz2.compress(b"".join(lines)))
    return folder / f"{NAME}.xml.bz2", offsets


def by_units(dump_file: Path, unit_bytes: int) -> tuple[list[dict[str, Any]], list[Item]]:
    specs = multistream_specs(str(dump_file), unit_bytes)
    with dump_file.open("rb") as handle:
        return specs, [item for spec in specs for item in read_streams(handle, SITE, spec, 1 << 20)]
