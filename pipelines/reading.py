"""Which reader reads which source, and the units of a run: an input file, a part of one, or a pack of them each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..core.manifest import Manifest
from ..core.recipe import Recipe
from ..core.settings_sources import (
    BooksSource,
    CommonCrawlSource,
    CrawlSource,
    FileSource,
    HtmlSource,
    Source,
    TableSource,
    WarcSource,
    WikipediaSource,
)
from ..core.units import Unit
from .extraction.fence import CHAPTERS, fence
from .sources.books import read_books
from .sources.common_crawl import crawl_files, read_crawl_file
from .sources.html_folder import page_url, read_html
from .sources.multistream import multistream_specs, read_streams
from .sources.paths import key_names, open_binary, packs, rooted_files, size_of
from .sources.records import Item
from .sources.selection import read_selected, unit_specs
from .sources.table import read_arrow, read_jsonl, read_parquet, row_groups
from .sources.warc import read_warc
from .sources.wikipedia import read_wikipedia

DUMP_PARTS = 4  # a dump's pages cost much more than its decompression, up to ...
DUMP_PARTS_BELOW = 64 << 20  # ... this size; larger dumps come in many files, or with an index
PAGE_SECONDS, PAGE_MB = 10.0, 1024  # as in the recipe's section extract
PARQUET_PART = 256 << 20  # a larger file is shared by several units

Spec = Mapping[str, Any]


def read(
    source: Source, spec: Spec, max_bytes: int, page_seconds: float = PAGE_SECONDS, page_mb: int = PAGE_MB
) -> Iterator[Item]:
    """The records of one unit. page_seconds, page_mb: what the parser of a book's chapters may take."""
    if isinstance(source, CommonCrawlSource):
        yield from (read_selected if "selection" in spec else read_crawl_file)(source, spec, max_bytes)
    elif isinstance(source, HtmlSource):
        yield from read_html(spec, open_binary, max_bytes)
    elif isinstance(source, BooksSource):
        yield from read_books(source, spec, open_binary, max_bytes, fence(CHAPTERS, page_seconds, page_mb).extract)
    else:
        yield from _of_file(source, spec, max_bytes)


def _of_file(
    source: CrawlSource | WarcSource | TableSource | WikipediaSource, spec: Spec, max_bytes: int
) -> Iterator[Item]:
    with open_binary(spec["file"]) as handle:
        if isinstance(source, WikipediaSource) and "streams" in spec:
            yield from read_streams(handle, source.site, spec, max_bytes)
        elif isinstance(source, WikipediaSource):
            yield from read_wikipedia(handle, source.site, max_bytes, spec.get("part", 0), spec.get("parts", 1))
        elif not isinstance(source, TableSource):
            yield from read_warc(handle, max_bytes)
        elif source.kind == "jsonl":
            yield from read_jsonl(handle, source, max_bytes)
        elif source.kind == "arrow":
            yield from read_arrow(handle, spec["file"], source, max_bytes)
        else:
            yield from read_parquet(handle, spec["file"], source, max_bytes, spec.get("groups"))


def units(recipe: Recipe, run_folder: Path, crawl: Manifest) -> list[Unit]:
    """Every unit of the run, in the order of the sources and their files.

    spec: source (its name), file (to open), origin (how the ledger and a trace name it), key (its name inside doc_ids),
    and what the source's reader needs: part and parts, streams, groups, first and last record, or many files.
    """
    return [unit for source in recipe.sources for unit in _units(source, run_folder, crawl)]


def selection_folder(run_folder: Path, source: CommonCrawlSource) -> Path:
    """Where the rows of the crawl's index that the source selects are written before its units are known."""
    return run_folder / "extract" / "selection" / source.name


def _units(source: Source, run_folder: Path, crawl: Manifest) -> Iterator[Unit]:
    if isinstance(source, CrawlSource):
        specs = _crawled(source, run_folder, crawl)
    elif isinstance(source, CommonCrawlSource):
        specs = _common_crawl(source, run_folder)
    elif isinstance(source, HtmlSource | BooksSource):
        specs = _packed(source)
    else:
        specs = _files(source)
    for index, spec in enumerate(specs):
        yield Unit(name=f"{source.name}-{index:05d}", spec={"source": source.name, **spec})


def _crawled(source: CrawlSource, run_folder: Path, crawl: Manifest) -> Iterator[Spec]:
    """A crawl's files lie in the run's folder, and are named by their place in it: runs can be moved."""
    for path in crawl.paths(run_folder / "crawl", f"{source.name}/warc/"):
        yield {"file": str(path), "origin": path.relative_to(run_folder).as_posix(), "key": path.name}


def _common_crawl(source: CommonCrawlSource, run_folder: Path) -> Iterator[Spec]:
    """Files are named by their path in the crawl, wherever the mirror is."""
    if source.select is None:
        yield from ({"file": path, "origin": path, "key": path} for path in crawl_files(source))
        return
    folder = selection_folder(run_folder, source)
    for spec in unit_specs(folder, source.select.records_per_unit):
        yield {**spec, "selection": str(folder), "origin": spec["first"][0], "key": spec["first"][0]}


def _packed(source: HtmlSource | BooksSource) -> Iterator[Spec]:
    below = rooted_files(source)
    keys = key_names(list(below))
    for files in packs(list(below), source.unit_bytes):
        spec = {"files": files, "keys": [keys[file] for file in files], "origin": files[0], "key": keys[files[0]]}
        if isinstance(source, HtmlSource):
            spec["urls"] = [page_url(source.base_url, below[file]) for file in files]
        yield spec


def _files(source: FileSource) -> Iterator[Spec]:
    files = list(rooted_files(source))
    keys = key_names(files)
    for file in files:
        for part in _parts(source, file):
            yield {"file": file, "origin": file, "key": keys[file], **part}


def _parts(source: FileSource, file: str) -> list[dict[str, Any]]:
    """What the units that share a file have each of their own."""
    if isinstance(source, WikipediaSource):
        if specs := multistream_specs(file, source.unit_bytes):
            return specs
        if size_of(file) < DUMP_PARTS_BELOW:
            return [{"part": part, "parts": DUMP_PARTS} for part in range(DUMP_PARTS)]
    splits = isinstance(source, TableSource) and source.kind == "parquet" and source.id is None  # ids: once in a file
    if splits and (size := size_of(file)) > PARQUET_PART:
        with open_binary(file) as handle:
            return [{"groups": groups} for groups in row_groups(handle, -(-size // PARQUET_PART))] or [{}]
    return [{}]
