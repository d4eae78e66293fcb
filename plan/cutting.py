"""Cuts a sample out of one file: some of its records, as a file of the same kind and coding.

Records are taken in runs of neighbours, spread evenly, so that copies that stand side by side stay together. What a
record is: a gzip member or a record of WARC, a line of jsonl, a page of a dump, some rows of a table.
cut.py says how much.
"""

from __future__ import annotations

import bz2
import gzip
import itertools
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
from fastwarc.warc import ArchiveIterator

from ..core.errors import InputError
from ..pipelines.sources.byte_stream import MAGIC as GZIP
from ..pipelines.sources.byte_stream import Segment, gzip_events
from ..pipelines.sources.dump_text import characters
from ..pipelines.sources.record_heads import RECORD
from ..pipelines.sources.table import MAGIC, inflated
from ..pipelines.sources.wikipedia import OPEN, Page, pages
from .cut import Cut, Open
from .cutting_tables import cut_arrow, cut_parquet

END = "</mediawiki>\n"
WHOLE_TIMES = 8  # a file that cannot be cut is taken whole where it is no more than so many times the sample


def cut_file(kind: str, name: str, opened: Open, target: Path, cut: Cut, max_bytes: int) -> list[Path]:
    """Files TARGET-00.ENDING … with the sample of one file. Raises InputError for one that cannot be cut."""
    target.parent.mkdir(parents=True, exist_ok=True)
    ending = "".join(Path(name).suffixes[-2:]) if kind != "warc" else ".warc"
    if kind == "warc":
        return _cut_warc(name, opened, target, cut)
    paths = [target.with_name(f"{target.name}-{number:02d}{ending}") for number in range(cut.pieces)]
    with opened() as handle:
        if kind == "wikipedia":
            _cut_dump(handle, paths, cut, max_bytes)
        elif kind == "jsonl":
            _cut_lines(handle, paths, cut)
        elif kind == "parquet":
            cut_parquet(handle, paths, cut)
        else:
            cut_arrow(name, handle, paths, cut)
    return [path for path in paths if path.exists()]


def _cut_warc(name: str, opened: Open, target: Path, cut: Cut) -> list[Path]:
    """Bytes as they are: from the beginning of each chosen member or record to that of the next."""
    with opened() as handle:
        zipped = handle.read(len(GZIP)) == GZIP
        size = handle.seek(0, 2)
        handle.seek(0)
        starts = _starts(handle, zipped, cut.read)
    alone = len(starts) == 2  # one record, or one gzip stream of all
    if alone and size > cut.read * cut.share * WHOLE_TIMES:
        raise InputError(
            f"{name}: one gzip stream, which cannot be cut into records",
            "measure by a finished run: crawl2chat plan RECIPE --profile RUN",
        )
    paths = [target.with_name(f"{target.name}-{n:02d}.warc{'.gz' * zipped}") for n in range(cut.pieces)]
    with opened() as handle, ExitStack() as stack:
        out: dict[int, BinaryIO] = {}
        for number, (start, stop) in enumerate(itertools.pairwise(starts)):
            piece = 0 if alone else cut.piece(number)
            if piece is None:
                continue
            if piece not in out:
                out[piece] = stack.enter_context(paths[piece].open("wb"))
            handle.seek(start)
            out[piece].write(handle.read(stop - start))
    return [path for path in paths if path.exists()]


def _starts(handle: BinaryIO, zipped: bool, read: float) -> list[int]:
    """Where members or records begin, of those that begin below `read`, and where the last of them ends."""
    found: list[int] = []
    if zipped:
        for event in gzip_events(handle, RECORD, 0):
            if isinstance(event, Segment):
                found.append(event.offset)
                if event.offset > read:
                    return found
    else:
        for record in ArchiveIterator(handle, parse_http=False):
            found.append(record.stream_pos)
            if record.stream_pos > read:
                return found
    return [*found, handle.seek(0, 2)] if found else []


def _cut_lines(handle: BinaryIO, paths: list[Path], cut: Cut) -> None:
    head = handle.read(4)
    coding = next((coding for magic, coding in MAGIC.items() if head.startswith(magic)), "")
    handle.seek(0)
    with ExitStack() as stack:
        out = [stack.enter_context(_coded(path, coding)) for path in paths]
        for number, line in enumerate(inflated(handle, coding)):
            if (piece := cut.piece(number)) is not None:
                out[piece].write(line)
            if handle.tell() > cut.read:
                break


def _coded(path: Path, coding: str) -> Any:
    if coding == "gzip":
        return gzip.open(path, "wb")
    if coding == "bz2":
        return bz2.open(path, "wb")
    return pa.CompressedOutputStream(str(path), "zstd") if coding == "zst" else path.open("wb")


def _cut_dump(handle: BinaryIO, paths: list[Path], cut: Cut, max_bytes: int) -> None:
    """Pages between the head of the dump and its end."""
    zipped = handle.read(3) == b"BZh"
    pieces = characters(handle)
    first = ""
    while OPEN not in first and (piece := next(pieces, None)) is not None:
        first += piece if isinstance(piece, str) else ""
    head = first[: first.find(OPEN)] if OPEN in first else first
    with ExitStack() as stack:
        out = [stack.enter_context(_coded(path, "bz2" if zipped else "")) for path in paths]
        for one in out:
            one.write(head.encode())
        number = 0
        for page in pages(itertools.chain([first[len(head) :]], pieces), max_bytes):
            if not isinstance(page, Page):
                continue
            if (piece := cut.piece(number)) is not None:
                out[piece].write(page.xml.encode() + b"\n")
            number += 1
            if handle.tell() > cut.read:
                break
        for one in out:
            one.write(END.encode())
