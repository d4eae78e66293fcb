"""Multistream dumps: bz2 files of many streams with a hundred pages each, and an index of where they begin.

    NAME-multistream.xml.bz2          the streams
    NAME-multistream-index.txt.bz2    OFFSET:PAGE ID:TITLE, one line a page, in the dump's order

A unit is a run of streams: it seeks to each and inflates nothing else. The index says how many pages a stream holds and
their numbers in the dump, so a page has the same place as when the whole dump is read in one go, and the loss of a
damaged stream names how many pages went with it.
"""

from __future__ import annotations

import bz2
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, BinaryIO

from ...core.errors import InputError
from ...core.recipe import Recipe
from ...core.settings_sources import WikipediaSource
from .dump_text import characters
from .paths import open_binary, size_of, source_files, stamp
from .records import Item, Loss
from .wikipedia import Info, article, pages
from .wikitext import MEDIA

LEAST_UNITS = 4  # of a small dump: its pages cost much more than its decompression


def multistream_specs(file: str, unit_bytes: int) -> list[dict[str, Any]]:
    """The units of a dump that has its index beside it; none for other files.

    spec: streams ([offset, pages] each), stop (where the last ends), number (of the first page).
    """
    index = index_name(file)
    if not index or not _exists(index):
        return []
    size = size_of(file)
    streams = _streams(index, size)
    limit = min(unit_bytes, -(-size // LEAST_UNITS))
    specs: list[dict[str, Any]] = []
    number = 0
    for at, (offset, count) in enumerate(streams):
        stop = streams[at + 1][0] if at + 1 < len(streams) else size
        if not specs or offset - specs[-1]["streams"][0][0] >= limit:
            specs.append({"streams": [], "number": number})
        specs[-1]["streams"].append([offset, count])
        specs[-1]["stop"] = stop
        number += count
    return specs


def index_name(file: str) -> str:
    """The name that Wikimedia gives to the index of a multistream dump; "" for other names."""
    folder, slash, name = file.rpartition("/")
    if "multistream" not in name or ".xml" not in name or "multistream-index" in name:
        return ""
    return f"{folder}{slash}{name.replace('multistream', 'multistream-index', 1).replace('.xml', '.txt', 1)}"


def index_stamps(recipe: Recipe) -> dict[str, str]:
    """As paths.stamps, of the indexes beside the recipe's dumps: another index makes other units."""
    dumps = [file for one in recipe.sources if isinstance(one, WikipediaSource) for file in source_files(one)]
    return {index: stamp(index) for index in map(index_name, dumps) if index and _exists(index)}


def _exists(file: str) -> bool:
    try:
        with open_binary(file) as handle:
            return handle.read(1) != b""
    except FileNotFoundError:
        return False


def _streams(index: str, size: int) -> list[tuple[int, int]]:
    """(offset, number of pages) of each stream. Raises InputError for an index that does not fit the dump."""
    found: list[list[int]] = []
    line = b""
    try:
        with open_binary(index) as handle:
            lines = bz2.BZ2File(handle) if handle.read(3) == b"BZh" else handle
            handle.seek(0)
            for line in lines:
                offset = int(line[: line.index(b":")])
                if found and offset == found[-1][0]:
                    found[-1][1] += 1
                elif offset >= size or (found and offset < found[-1][0]):
                    raise ValueError(f"the offset {offset} is not in the order of the dump, or beyond its end")
                else:
                    found.append([offset, 1])
    except (ValueError, EOFError, OSError) as error:
        raise InputError(
            f"{index} is no index of its dump: {error}; line {line[:60]!r}",
            "fetch it again, or move it away: the dump is then read without it",
        ) from error
    return [(offset, count) for offset, count in found]


def read_streams(handle: BinaryIO, site: str, spec: Mapping[str, Any], max_bytes: int) -> Iterator[Item]:
    """The items of a unit's pages."""
    streams, number = spec["streams"], spec["number"]
    ends = [offset for offset, _ in streams[1:]] + [spec["stop"]]
    media = _media(handle, max_bytes)
    for (offset, count), end in zip(streams, ends, strict=True):
        seen = 0
        for piece in pages(characters(handle, offset, end), max_bytes, number):
            if isinstance(piece, Info):
                continue
            if isinstance(piece, Loss):
                lost = float(count - seen) if piece.reason.endswith("bz2") else piece.value
                yield replace(piece, place=f"{piece.place}@{offset}", value=lost)
                continue
            # a stream with more pages than the index says must not give two pages one place
            place = f"page{piece.number}" if seen < count else f"page{piece.number}@{offset}"
            yield article(piece.xml, piece.number, place, site, media)
            seen += 1
        number += count


def _media(handle: BinaryIO, max_bytes: int) -> frozenset[str]:
    """The namespaces' names, from the dump's first stream."""
    head = pages(characters(handle), max_bytes)
    return next((piece.media for piece in head if isinstance(piece, Info)), MEDIA)
