"""The characters of an XML dump, plain or bz2, as they are read: UTF-8, or UTF-16 with a byte-order mark.

A bz2 file may hold any number of streams (multistream dumps, parallel compressors). Where one is damaged, reading goes
on at the next: the Loss stands between the texts before and behind, which do not belong together.
"""

from __future__ import annotations

import bz2
import codecs
import re
from collections.abc import Iterator
from typing import BinaryIO

from .records import Loss

CHUNK = 1 << 18
BOMS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
STREAM = re.compile(rb"BZh[1-9]1AY&SY")  # how a stream begins: its header and that of its first block
OVERLAP = 9


def characters(handle: BinaryIO, start: int = 0, stop: int | None = None) -> Iterator[str | Loss]:
    """Decoded pieces of the bytes from start to stop; bytes that are no characters become U+FFFD."""
    encoding = ""
    decoder: codecs.IncrementalDecoder | None = None
    for data in inflated(handle, start, stop):
        if isinstance(data, Loss):
            decoder = None
            yield data
            continue
        if decoder is None:
            encoding = encoding or next((name for bom, name in BOMS.items() if data.startswith(bom)), "utf-8")
            decoder = codecs.getincrementaldecoder(encoding)("replace")
        yield decoder.decode(data).removeprefix("\ufeff")


def inflated(handle: BinaryIO, start: int = 0, stop: int | None = None) -> Iterator[bytes | Loss]:
    """Inflated pieces of the file, at most CHUNK each, and the damages. Losses: bad_bz2, truncated_bz2."""
    handle.seek(start)
    chunks = _chunks(handle, start, stop)
    at, chunk = next(chunks, (start, b""))
    if not chunk.startswith(b"BZh"):
        yield from (data for data in (chunk, *(data for _, data in chunks)) if data)
        return
    inflater, begun = bz2.BZ2Decompressor(), at  # `begun`: where the stream begins
    while chunk:
        try:
            data = inflater.decompress(chunk, CHUNK)
            while data:
                yield data
                data = b"" if inflater.eof or inflater.needs_input else inflater.decompress(b"", CHUNK)
        except OSError as error:
            yield Loss(begun, f"byte{begun}", "bad_bz2", detail=f"the bz2 stream at byte {begun}: {error}")
            at, chunk = _next_stream(chunks, at, chunk, begun + 1)
            inflater, begun = bz2.BZ2Decompressor(), at
            continue
        if inflater.eof:
            rest = inflater.unused_data
            at, chunk = (at + len(chunk) - len(rest), rest) if rest else next(chunks, (at + len(chunk), b""))
            if not chunk:
                return
            inflater, begun = bz2.BZ2Decompressor(), at
        else:
            at, chunk = next(chunks, (at + len(chunk), b""))
    if not inflater.eof and at > begun:
        yield Loss(begun, f"byte{begun}", "truncated_bz2", detail=f"the file ends in the bz2 stream at byte {begun}")


def _chunks(handle: BinaryIO, start: int, stop: int | None) -> Iterator[tuple[int, bytes]]:
    at = start
    while chunk := handle.read(CHUNK if stop is None else min(CHUNK, stop - at)):
        yield at, chunk
        at += len(chunk)


def _next_stream(chunks: Iterator[tuple[int, bytes]], at: int, chunk: bytes, first: int) -> tuple[int, bytes]:
    """Where the next stream behind `first` begins, and the bytes read of it; no bytes when there is none."""
    while True:
        found = STREAM.search(chunk, max(0, first - at))
        if found is not None:
            return at + found.start(), chunk[found.start() :]
        tail = chunk[-OVERLAP:]
        following, more = next(chunks, (at + len(chunk), b""))
        if not more:
            return following, b""
        at, chunk = following - len(tail), tail + more
