"""A sample of a recipe's sources, as sources of a recipe of its own: the same share of each, bounded in bytes.

Of files of records some records are taken (cutting.py), of folders of books and pages some files, of a crawl its first
pages. What is sampled lies in files below a folder; a crawl is done again, shorter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import xxhash

from ..core.errors import InputError
from ..core.files import at_once
from ..core.recipe import Recipe
from ..core.settings_sources import (
    BooksSource,
    CommonCrawlSource,
    CrawlSource,
    HtmlSource,
    Source,
    WarcSource,
    WikipediaSource,
)
from ..pipelines.reading import DUMP_PARTS
from ..pipelines.sources.common_crawl import Mirror, crawl_files
from ..pipelines.sources.paths import open_binary, size_of, source_files
from .cut import Cut, Open
from .cutting import cut_file
from .source_bytes import PAGE_BYTES, UNIT_BYTES

SHARE = 0.05  # of the input, where that is neither too little nor too much
LEAST_BYTES, MOST_BYTES = 4e6, 16e6
FILES = 8  # of a source, at most
LEAST_READ = 0.05  # of what is read of a file, that is taken: so a large file is read in part
LEAST_PAGES, CRAWL_S = 40, 120.0  # of a crawl: pages, and seconds that its politeness may cost


@dataclass(frozen=True)
class Amount:
    """How much of every source: its share of the bytes, and units to deal it out to."""

    share: float
    units: int


def amount_of(recipe: Recipe, wanted: float | None, units: int) -> Amount:
    """So many bytes; by default SHARE of all, from LEAST_BYTES to MOST_BYTES. Of crawls the sizes are assumed."""
    total = sum(_bytes(source) for source in recipe.sources)
    wanted = wanted or min(MOST_BYTES, max(SHARE * total, LEAST_BYTES))
    return Amount(min(1.0, wanted / max(total, 1.0)), units)


def _bytes(source: Source) -> float:
    if isinstance(source, CrawlSource):
        return source.max_pages * PAGE_BYTES
    if isinstance(source, CommonCrawlSource):
        return len(crawl_files(source)) * UNIT_BYTES
    return float(sum(at_once(size_of, source_files(source))))


def sampled(recipe: Recipe, amount: Amount, folder: Path) -> list[Source]:
    """The sources of the sample, with their names; files are written below `folder`."""
    return [_sampled(source, amount, folder / source.name, recipe.extract.max_html_bytes) for source in recipe.sources]


def _sampled(source: Source, amount: Amount, folder: Path, max_bytes: int) -> Source:
    if isinstance(source, CrawlSource):
        return _fewer_pages(source, amount.share)
    if isinstance(source, BooksSource | HtmlSource):
        return _fewer_files(source, amount)
    if isinstance(source, CommonCrawlSource):
        return _of_mirror(source, amount, folder, max_bytes)
    files = source_files(source)
    sizes = at_once(size_of, files)
    opened = [partial(open_binary, file) for file in files]
    parts = DUMP_PARTS if isinstance(source, WikipediaSource) else 1
    paths = _cut(source.kind, files, sizes, opened, amount, parts, folder, max_bytes)
    return source.model_copy(update={"paths": [str(path.absolute()) for path in paths]})


def _cut(
    kind: str,
    files: Sequence[str],
    sizes: Sequence[int],
    opened: Sequence[Open],
    amount: Amount,
    parts: int,
    folder: Path,
    max_bytes: int,
) -> list[Path]:
    """Some of the files, by hash, each cut. `parts`: units that a file of the sample will be."""
    chosen = sorted(sorted(range(len(files)), key=lambda at: xxhash.xxh3_64_intdigest(files[at]))[:FILES])
    here, wanted = max(1, sum(sizes[at] for at in chosen)), sum(sizes) * amount.share
    share = min(1.0, wanted / here)
    within = min(1.0, max(share, LEAST_READ))
    pieces = max(1, math.ceil(amount.units / len(chosen) / parts))
    found = []
    for number, at in enumerate(chosen):
        cut = Cut(within, sizes[at] * share / within, pieces)
        found += cut_file(kind, files[at], opened[at], folder / f"{number:02d}", cut, max_bytes)
    if not found:
        raise InputError(f"{files[0]}: a sample of {share:.2%} has no record of it", "raise --sample-bytes")
    return found


def _fewer_pages(source: CrawlSource, share: float) -> CrawlSource:
    """A shorter crawl. A host's delay bounds it where there is one."""
    pages = max(LEAST_PAGES, round(source.max_pages * share))
    if source.delay > 0:
        pages = min(pages, max(LEAST_PAGES, int(CRAWL_S / source.delay)))
    return source.model_copy(update={"max_pages": min(pages, source.max_pages)})


def _fewer_files(source: BooksSource | HtmlSource, amount: Amount) -> BooksSource | HtmlSource:
    """Some of the files, by hash, in packs that are as many as the units."""
    files = source_files(source)
    sizes = dict(zip(files, at_once(size_of, files), strict=True))
    wanted, taken = sum(sizes.values()) * amount.share, 0
    chosen: list[str] = []
    for file in sorted(files, key=xxhash.xxh3_64_intdigest):
        if chosen and taken >= wanted:
            break
        chosen.append(file)
        taken += sizes[file]
    return source.model_copy(update={"paths": sorted(chosen), "unit_bytes": max(1, taken // amount.units)})


def _of_mirror(source: CommonCrawlSource, amount: Amount, folder: Path, max_bytes: int) -> WarcSource:
    """The beginnings of some files of the crawl, as WARC files here."""
    if source.select is not None:
        raise InputError(
            f"source {source.name}: records that the URL index selects cannot be sampled",
            "measure by a finished run of fewer: --set sources.NAME.select.index_files=1, then plan --profile RUN",
        )
    mirror, files = Mirror(source), crawl_files(source)

    def opener(file: str) -> Open:
        def opened() -> BinaryIO:
            return mirror.open(file)

        return opened

    sizes = [int(UNIT_BYTES)] * len(files)
    paths = _cut("warc", files, sizes, [opener(file) for file in files], amount, 1, folder, max_bytes)
    return WarcSource(name=source.name, kind="warc", paths=[str(path.absolute()) for path in paths])
