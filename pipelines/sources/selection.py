"""Records of a crawl chosen by its columnar URL index, and fetched alone, by byte range.

    index file ─► rows that match ─► selection/SOURCE/NUMBER.parquet    SELECTED, by WARC file and offset
    all of these ─► units: a run of WARC files, or of one file's offsets, with about records_per_unit records
    unit ─► its rows ─► ranges of neighbours, one request each ─► records

The process that plans holds one row for each WARC file, not for each record.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from io import BytesIO
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from ...core.errors import InputError
from ...core.remote_path import path_of
from ...core.settings_sources import CommonCrawlSource, IndexSelect
from .common_crawl import Mirror
from .records import Item, Loss, Other
from .warc import read_warc

SELECTED = pa.schema(
    [
        pa.field("file", pa.string(), nullable=False),  # path of the WARC file in the crawl
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("length", pa.int64(), nullable=False),
    ]
)
ORDER: list[tuple[str, Literal["ascending", "descending"]]] = [("file", "ascending"), ("offset", "ascending")]
INDEX_COLUMNS = {
    "file": pc.field("warc_filename"),
    "offset": pc.field("warc_record_offset").cast(pa.int64()),
    "length": pc.field("warc_record_length").cast(pa.int64()),
}
RANGE_BYTES = 8 << 20


def matching(handle: BinaryIO, name: str, select: IndexSelect, files: Sequence[str] | None) -> pa.Table:
    """The SELECTED rows of one index file, sorted. `files`: only records of these. Row groups are pruned by statistics.

    Raises InputError when the file has not the columns that the settings need.
    """
    wanted = _filter(select, files)
    fragment = ds.ParquetFileFormat().make_fragment(handle)
    try:
        table = fragment.scanner(columns=cast(Any, INDEX_COLUMNS), filter=wanted, use_threads=False).to_table()
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"the index file {name} cannot be searched: {error}", "check `mirror` and `crawl`") from error
    return table.cast(SELECTED).sort_by(ORDER)


def _filter(select: IndexSelect, files: Sequence[str] | None) -> ds.Expression:
    keep = pc.field("warc_record_length") > 0
    if select.domains:
        keep &= pc.field("url_host_registered_domain").isin(select.domains)
    if select.languages:  # "eng,deu": the page's languages, the main one first
        names = "|".join(re.escape(language) for language in select.languages)
        keep &= pc.match_substring_regex(pc.field("content_languages"), f"^({names})(,|$)")
    if select.mimes:
        keep &= pc.field("content_mime_detected").isin(select.mimes)
    if select.status:
        keep &= pc.field("fetch_status").isin(select.status)
    if files is not None:
        keep &= pc.field("warc_filename").isin(list(files))
    return keep


def unit_specs(folder: Path, records_per_unit: int) -> Iterator[dict[str, Any]]:
    """Units of a selection: from the first to the last (file, offset), both included."""
    counts: Counter[str] = Counter()
    for batch in ds.dataset(folder).to_batches(columns=["file"]):
        files: Any = batch["file"]
        counts.update({row["values"]: row["counts"] for row in files.value_counts().to_pylist()})
    pending: list[str] = []
    held = 0
    for file, count in sorted(counts.items()):
        if pending and held + count > records_per_unit:
            yield {"first": [pending[0], 0], "last": [pending[-1], None]}
            pending, held = [], 0
        if count > records_per_unit:
            yield from _pieces(folder, file, records_per_unit)
            continue
        pending.append(file)
        held += count
    if pending:
        yield {"first": [pending[0], 0], "last": [pending[-1], None]}


def _pieces(folder: Path, file: str, records_per_unit: int) -> Iterator[dict[str, Any]]:
    """One WARC file that holds more records than a unit should."""
    offsets = ds.dataset(folder).to_table(columns=["offset"], filter=pc.field("file") == file)["offset"]
    ordered = offsets.unique().sort().to_pylist()
    for start in range(0, len(ordered), records_per_unit):
        piece = ordered[start : start + records_per_unit]
        yield {"first": [file, piece[0]], "last": [file, piece[-1]]}


def read_selected(source: CommonCrawlSource, spec: Mapping[str, Any], max_bytes: int) -> Iterator[Item]:
    """The items of one unit's records; each names its WARC file."""
    mirror, access = Mirror(source), source.access
    rows = _rows(path_of(spec["selection"]), spec["first"], spec["last"])
    for file, records in groupby(rows, key=lambda row: row[0]):
        places = [(offset, length) for _, offset, length in records]
        for group in coalesce(places, access.gap_bytes, max(RANGE_BYTES, access.block_bytes)):
            start, stop = group[0][0], max(offset + length for offset, length in group)
            try:
                data = mirror.fetch(file, start, stop)
            except FileNotFoundError:
                detail = f"{file} is not on {source.mirror}"
                yield from (Loss(at, str(at), "missing_file", "", None, detail, file, file) for at, _ in group)
                continue
            for offset, length in group:
                yield from _record(data[offset - start : offset - start + length], offset, file, max_bytes)


def _rows(folder: Path, first: Sequence[Any], last: Sequence[Any]) -> Iterator[tuple[str, int, int]]:
    """The selection's rows between two places, in order, each once."""
    file, offset = pc.field("file"), pc.field("offset")
    between = (file >= first[0]) & (file <= last[0]) & ((file > first[0]) | (offset >= first[1]))
    if last[1] is not None:
        between &= (file < last[0]) | (offset <= last[1])
    table = ds.dataset(folder).to_table(filter=between).group_by(["file", "offset"]).aggregate([("length", "max")])
    for batch in table.sort_by(ORDER).to_batches():
        columns = (batch[name].to_pylist() for name in ("file", "offset", "length_max"))
        yield from zip(*columns, strict=True)


def coalesce(places: Sequence[tuple[int, int]], gap: int, limit: int) -> Iterator[list[tuple[int, int]]]:
    """Sorted (offset, length) pairs in groups that one request fetches: close together, and not too large."""
    group: list[tuple[int, int]] = []
    for offset, length in places:
        if group and (offset - sum(group[-1]) > gap or offset + length - group[0][0] > limit):
            yield group
            group = []
        group.append((offset, length))
    if group:
        yield group


def _record(data: bytes, offset: int, file: str, max_bytes: int) -> Iterator[Item]:
    """The items in the bytes of one record, with the places that they have in the whole file."""
    empty = True
    for item in read_warc(BytesIO(data), max_bytes):
        empty = False
        if isinstance(item, Other):
            yield item
            continue
        place = f"{offset + item.offset}{item.place.removeprefix(str(item.offset))}"
        yield replace(item, offset=offset + item.offset, place=place, file=file, key=file)
    if empty:
        yield Loss(offset, str(offset), "truncated", "", float(len(data)), "the file ends before it", file, file)


def write_selection(path: Path, table: pa.Table) -> None:
    pq.write_table(table, path, compression="zstd", row_group_size=64 << 10)
