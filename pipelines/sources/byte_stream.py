"""A window over the bytes of a plain or gzip file that knows where every byte came from, and survives damage.

A WARC reader needs three things that Python's gzip module and FastWARC do not give together: the offset of the gzip
member behind each byte, an account of every damaged place, and reading on behind it. So the file is turned into events:

    Segment   a gzip member begins (a plain file is one segment)
    bytes     inflated bytes
    Damage    the member that began last cannot be read further; the next segment begins at the next readable member

Positions are absolute positions in the inflated stream. Memory: what the reader has not yet `forget`-ed.
"""

from __future__ import annotations

import re
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, cast

from isal import isal_zlib

CHUNK = 1 << 18
RAW_CHUNK = 1 << 15  # small: what is left of a chunk behind a member is copied
HEAD = 4096  # bytes of a member that suffice to see what it begins with
MAGIC = b"\x1f\x8b\x08"
BROKEN = cast(type[Exception], isal_zlib.error)  # its stub says that it is one


@dataclass(frozen=True, slots=True)
class Segment:
    """A gzip member that begins at this offset of the file."""

    offset: int


@dataclass(frozen=True, slots=True)
class Damage:
    """The member at `offset` ends in an error."""

    offset: int
    reason: str
    detail: str


Event = Segment | Damage | bytes


def open_stream(handle: BinaryIO, begins_with: re.Pattern[bytes]) -> ByteStream:
    """Window over a seekable file, inflated when it begins with gzip's magic.

    begins_with: what the bytes of a member must match for reading to resume there after damage.
    """
    magic = handle.read(len(MAGIC))
    if magic == MAGIC:
        return ByteStream(lambda offset: gzip_events(handle, begins_with, offset), compressed=True)
    return ByteStream(lambda offset: plain_events(handle, offset), compressed=False)


def plain_events(handle: BinaryIO, offset: int) -> Iterator[Event]:
    """One segment from `offset` on, then the bytes as they are."""
    handle.seek(offset)
    yield Segment(offset)
    while chunk := handle.read(CHUNK):
        yield chunk


def gzip_events(handle: BinaryIO, begins_with: re.Pattern[bytes], start: int) -> Iterator[Event]:
    """The members of a gzip file (RFC 1952) from the one at `start` on, and what is wrong with them."""
    handle.seek(start)
    offset: int | None = start
    pending = b""
    while offset is not None:
        inflater = isal_zlib.decompressobj(wbits=31)  # twice as fast as zlib
        pending = pending or handle.read(RAW_CHUNK)
        if not pending:
            return
        yield Segment(offset)
        length = 0  # of the member, as far as it was fed to the inflater
        try:
            while not inflater.eof:
                pending = pending or handle.read(RAW_CHUNK)
                if not pending:
                    raise EOFError("the file ends inside the member")
                data = inflater.decompress(pending, CHUNK)  # at most CHUNK at a time: a zip bomb must not fill memory
                rest = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
                length += len(pending) - len(rest)
                pending = rest
                if data:
                    yield data
            offset += length
        except (EOFError, BROKEN) as error:
            yield Damage(offset, "truncated_gzip" if isinstance(error, EOFError) else "bad_gzip", str(error))
            pending = b""
            offset = _next_member(handle, offset + 1, begins_with)
            handle.seek(offset or 0)


def _next_member(handle: BinaryIO, start: int, begins_with: re.Pattern[bytes]) -> int | None:
    """Offset of the first gzip member at or after `start` that begins as it must, None if there is none."""
    handle.seek(start)
    window, base, last = b"", start, False
    while not last:
        block = handle.read(CHUNK)
        last = not block
        window += block
        at = window.find(MAGIC)
        while at >= 0 and (last or len(window) - at > HEAD):
            try:
                inflated = zlib.decompressobj(wbits=31).decompress(window[at : at + HEAD], HEAD)
            except zlib.error:
                inflated = b""
            if begins_with.match(inflated):
                return base + at
            at = window.find(MAGIC, at + 1)
        keep = at if at >= 0 else max(0, len(window) - len(MAGIC) + 1)
        window, base = window[keep:], base + keep
    return None


class ByteStream:
    """Random access to the part of the inflated stream that was read and not yet forgotten.

    Reading stops at a Damage until `cross` is called: bytes before and behind it never run together.
    """

    def __init__(self, events: Callable[[int], Iterator[Event]], compressed: bool) -> None:
        self._from, self._events = events, events(0)
        self._compressed = compressed
        self._window = bytearray()
        self._base = 0
        self._starts: list[int] = []  # positions where segments begin ...
        self._offsets: list[int] = []  # ... and their offsets in the file
        self._ended = False
        self.damage: Damage | None = None

    @property
    def end(self) -> int:
        """Position behind the last byte read so far."""
        return self._base + len(self._window)

    @property
    def damage_start(self) -> int:
        """Position where the damaged member begins: bytes from here on are not to be trusted."""
        return self._starts[-1]

    def ensure(self, end: int) -> bool:
        """Read until the window reaches `end`. False when the stream ends, or is damaged, before."""
        while self.end < end:
            if self._ended or self.damage is not None or not self._advance():
                return False
        return True

    def _advance(self) -> bool:
        event = next(self._events, None)
        if event is None:
            self._ended = True
            return False
        if isinstance(event, Segment):
            self._starts.append(self.end)
            self._offsets.append(event.offset)
        elif isinstance(event, Damage):
            self.damage = event
            return False
        else:
            self._window += event
        return True

    def cross(self) -> int:
        """Go on behind the damage; returns the position where reading resumes."""
        self.damage = None
        return self.end

    def rewind(self, origin: tuple[int, int]) -> int:
        """Read again from an earlier `origin`; returns its new position (positions never go back)."""
        self.forget(self.end)
        self._base, self._window = self.end, bytearray()
        self._starts, self._offsets = [], []
        self._events, self._ended, self.damage = self._from(origin[0]), False, None
        position = self._base + origin[1]
        self.skip(position)
        return position

    def slice(self, start: int, end: int) -> bytes:
        return bytes(self._window[start - self._base : end - self._base])

    def search(self, pattern: re.Pattern[bytes], start: int) -> tuple[int, int] | None:
        """Positions where the first match in what has been read begins and ends."""
        found = pattern.search(self._window, max(0, start - self._base))
        return (self._base + found.start(), self._base + found.end()) if found else None

    def forget(self, before: int) -> None:
        """Free the bytes before this position."""
        drop = min(before, self.end) - self._base
        if drop > CHUNK or drop == len(self._window):
            del self._window[:drop]
            self._base += drop
            first = max(0, bisect_right(self._starts, self._base) - 1)
            del self._starts[:first], self._offsets[:first]

    def skip(self, end: int) -> bool:
        """Read to `end` without keeping anything before it."""
        while self.end < end:
            self.forget(self.end)
            if not self.ensure(min(end, self.end + CHUNK)):
                return False
        return True

    def origin(self, position: int) -> tuple[int, int]:
        """(offset in the file, 0) of a byte; for gzip (offset of its member, bytes before it in the member)."""
        index = bisect_right(self._starts, position) - 1
        offset, inner = self._offsets[index], position - self._starts[index]
        return (offset, inner) if self._compressed else (offset + inner, 0)

    def segment_from(self, position: int) -> int | None:
        """Position of the first known segment that begins at `position` or later."""
        index = bisect_left(self._starts, position)
        return self._starts[index] if index < len(self._starts) else None
