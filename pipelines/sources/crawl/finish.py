"""The end of a crawl: from the segments that fetchers wrote to the files that the next stages read.

    SOURCE/warc/SOURCE-00000.warc.gz …  the pages, divided among the files by a hash of the URL, sorted by URL in each
    SOURCE/other_answers.warc.gz        robots.txt files, redirects, error answers
    SOURCE/crawl_log.parquet            one row per URL that was met and gave no page: LOG

Only what the frontier names is copied, as whole gzip members, nothing is compressed again. So what killed attempts left
in the segments vanishes, and neither the files' content nor its order depends on timing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from ....core.files import atomic_path
from ....core.manifest import FileEntry, file_entry
from ....core.settings_data import CrawlSource
from .frontier import Frontier
from .warc import Location, warcinfo

LOG = pa.schema(
    [
        pa.field("url", pa.string(), nullable=False),
        pa.field("parent", pa.string(), nullable=False),  # a page that links to it; "" for a seed
        pa.field("depth", pa.int32(), nullable=False),  # links away from a seed
        pa.field("state", pa.string(), nullable=False),  # failed, refused, redirect
        pa.field("reason", pa.string(), nullable=False),  # a fixed word: robots, http_404, timeout, max_depth, …
        pa.field("detail", pa.string(), nullable=False),  # an error message, a redirect's target
        pa.field("status", pa.int32(), nullable=False),  # of the last answer, 0 when there was none
        pa.field("attempts", pa.int32(), nullable=False),
    ]
)
_ROWS = 10_000


def write_results(
    frontier: Frontier, source: CrawlSource, folder: Path, stage_folder: Path, segments: Path | None = None
) -> list[FileEntry]:
    """Write a source's files below `folder`, and describe them. `segments`: where these are, if not there."""
    segments = segments or folder / "segments"
    entries = []
    shares: list[list[Location]] = [[] for _ in range(source.warc_files)]
    for url, location in frontier.stored_pages():
        shares[xxhash.xxh3_64_intdigest(url.encode()) % source.warc_files].append(location)
    for index, share in enumerate(shares):
        target = folder / "warc" / f"{source.name}-{index:05d}.warc.gz"
        _copy(share, segments, target, source)
        entries.append(file_entry(stage_folder, target, len(share)))
    others = list(frontier.other_answers())
    target = folder / "other_answers.warc.gz"
    _copy(others, segments, target, source)
    entries.append(file_entry(stage_folder, target, len(others)))
    target = folder / "crawl_log.parquet"
    rows = _write_log(frontier, target)
    entries.append(file_entry(stage_folder, target, rows))
    return entries


def missing_segments(frontier: Frontier, segments: Path) -> list[str]:
    """Segments that are gone or shorter than the frontier knows: only a crash of the whole machine makes such."""
    found = []
    for name, size in frontier.segments():
        path = segments / name
        if not path.is_file() or path.stat().st_size < size:
            found.append(name)
    return found


def _copy(locations: Iterable[Location], segments: Path, target: Path, source: CrawlSource) -> None:
    fields = {
        "software": "crawl2chat",
        "format": "WARC File Format 1.1",
        "http-header-user-agent": source.user_agent,
        "robots": "obey" if source.respect_robots else "ignore",
    }
    with ExitStack() as stack:
        output = stack.enter_context(stack.enter_context(atomic_path(target)).open("wb"))
        output.write(warcinfo(target.name, fields, datetime.now(UTC)))
        inputs: dict[str, BinaryIO] = {}
        for at in locations:
            if at.segment not in inputs:
                inputs[at.segment] = stack.enter_context((segments / at.segment).open("rb"))
            inputs[at.segment].seek(at.offset)
            content = inputs[at.segment].read(at.length)
            assert len(content) == at.length, f"{at.segment} ends inside a record"
            output.write(content)


def _write_log(frontier: Frontier, target: Path) -> int:
    rows = 0
    with atomic_path(target) as partial, pq.ParquetWriter(partial, LOG, compression="zstd") as writer:
        for batch in _batches(frontier.log()):
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows


def _batches(rows: Iterable[tuple[object, ...]]) -> Iterator[pa.RecordBatch]:
    iterator = iter(rows)
    while some := list(islice(iterator, _ROWS)):
        columns = zip(*some, strict=True)
        yield pa.record_batch([pa.array(c, f.type) for c, f in zip(columns, LOG, strict=True)], schema=LOG)
