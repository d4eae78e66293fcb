"""Common Crawl: which files of a crawl are read, and their records. docs/sources.md explains the settings.

A crawl's listing (crawl-data/CRAWL/warc.paths.gz, wet.paths.gz) names its files. They are named by these paths in
documents and ledgers, whichever mirror they came from, so that the same record has the same doc_id whether it was read
with its whole file or fetched alone by the index (selection.py).

Reasons of losses: those of WARC files (warc.py), and missing_file: the mirror has no such file.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import xxhash

from ...core.errors import InputError, StageError
from ...core.settings_sources import CommonCrawlSource
from .pace_actor import shared_pace
from .records import Item, Loss
from .remote import Remote, check_address, is_remote
from .warc import read_warc

CHECK_RETRIES = 2
INDEX = "cc-index/table/cc-main/warc/crawl={crawl}/subset=warc/"


class Mirror:
    """A copy of Common Crawl: a folder, or a remote place at a common pace."""

    def __init__(self, source: CommonCrawlSource) -> None:
        self._root, self._remote = source.mirror.removeprefix("file://").rstrip("/"), None
        if is_remote(source.mirror):
            self._remote = Remote(source.access, shared_pace(source.name, source.access.requests_per_second))

    def open(self, path: str) -> BinaryIO:
        address = f"{self._root}/{path}"
        return self._remote.open(address) if self._remote is not None else Path(address).open("rb")

    def fetch(self, path: str, start: int, stop: int) -> bytes:
        """The bytes of a range; fewer where the file ends before."""
        if self._remote is not None:
            return self._remote.fetch(f"{self._root}/{path}", start, stop).data
        with self.open(path) as handle:
            handle.seek(start)
            return handle.read(stop - start)


def crawl_files(source: CommonCrawlSource) -> list[str]:
    """The paths of the chosen files, in the listing's order."""
    listed = _listing(source, f"crawl-data/{source.crawl}/{source.format}.paths.gz")
    if isinstance(source.files, int):  # by hash: any number is a fair sample, and a larger one holds the smaller
        chosen = set(sorted(listed, key=lambda path: xxhash.xxh3_64_intdigest(path))[: source.files])
        return [path for path in listed if path in chosen]
    start, stop = source.files or (0, None)
    return listed[start:stop]


def index_files(source: CommonCrawlSource) -> list[str]:
    """The paths of the URL index's parquet files for this crawl's successful fetches."""
    assert source.select is not None
    folder = INDEX.format(crawl=source.crawl)
    listed = _listing(source, f"crawl-data/{source.crawl}/cc-index-table.paths.gz")
    found = sorted(path for path in listed if path.startswith(folder))
    if not found:
        raise InputError(f"sources.{source.name}: the listing of the index names no file in {folder}", "check `crawl`")
    return found[: source.select.index_files]


def check_common_crawl(source: CommonCrawlSource) -> None:
    """Raise InputError when the mirror does not have the crawl, or the settings choose none of its files."""
    check_address(source.mirror)
    if not crawl_files(source):
        raise InputError(
            f"sources.{source.name}.files is {source.files!r}, which chooses no file of {source.crawl}",
            "give a number, or [START, STOP] within the listing",
        )
    if source.select is not None:
        index_files(source)


def _listing(source: CommonCrawlSource, path: str) -> list[str]:
    hasty = source.access.model_copy(update={"retries": min(source.access.retries, CHECK_RETRIES)})
    return list(_lines(source.model_copy(update={"access": hasty}).model_dump_json(), path))


@functools.lru_cache(maxsize=64)
def _lines(settings: str, path: str) -> tuple[str, ...]:
    """The lines of a .gz file on the mirror; checking and planning both ask."""
    source = CommonCrawlSource.model_validate_json(settings)
    where = f"sources.{source.name}: {source.mirror.rstrip('/')}/{path}"
    try:
        with Mirror(source).open(path) as handle:
            return tuple(zlib.decompress(handle.read(), wbits=47).decode().split())
    except FileNotFoundError as error:
        raise InputError(f"{where} does not exist", "check `crawl` and `mirror`") from error
    except (OSError, ValueError, ImportError, zlib.error) as error:
        fix = "pip install s3fs" if isinstance(error, ImportError) else "check `mirror`"
        raise InputError(f"{where} cannot be read: {error}", fix) from error
    except StageError as error:
        raise InputError(f"{where} cannot be read: {error.message}", "check `mirror`, or try again later") from error


def read_crawl_file(source: CommonCrawlSource, spec: Mapping[str, Any], max_bytes: int) -> Iterator[Item]:
    """All items of one whole file."""
    try:
        with Mirror(source).open(spec["file"]) as handle:
            yield from read_warc(handle, max_bytes)
    except FileNotFoundError:
        yield Loss(0, "missing", "missing_file", detail=f"not on {source.mirror}")
