"""Which reader reads which source, and the units of a run: one for each input file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..core.manifest import Manifest
from ..core.recipe import Recipe
from ..core.settings_data import CrawlSource, Source, TableSource, WarcSource, WikipediaSource
from ..core.units import Unit
from .sources.paths import key_names, open_binary, size_of, source_files
from .sources.records import Item
from .sources.table import read_jsonl, read_parquet
from .sources.warc import read_warc
from .sources.wikipedia import read_wikipedia

DUMP_PARTS = 4  # a dump's pages cost much more than its decompression, up to ...
DUMP_PARTS_BELOW = 64 << 20  # ... this size; larger dumps come in many files


def read(source: Source, file: str, max_bytes: int, part: int = 0, parts: int = 1) -> Iterator[Item]:
    """The records of one file of a source."""
    with open_binary(file) as handle:
        if isinstance(source, CrawlSource | WarcSource):
            yield from read_warc(handle, max_bytes)
        elif isinstance(source, WikipediaSource):
            yield from read_wikipedia(handle, source.site, max_bytes, part, parts)
        elif source.kind == "jsonl":
            yield from read_jsonl(handle, source, max_bytes)
        else:
            assert isinstance(source, TableSource)
            yield from read_parquet(handle, file, source)


def units(recipe: Recipe, run_folder: Path, crawl: Manifest) -> list[Unit]:
    """Every unit of the run, in the order of the sources and their files.

    spec: source (its name), file (to open), origin (how the ledger and a trace name it), key (its name inside doc_ids),
    part and parts (of a dump that several units share).
    """
    return [unit for source in recipe.sources for unit in _units(source, run_folder, crawl)]


def _units(source: Source, run_folder: Path, crawl: Manifest) -> Iterator[Unit]:
    specs = _crawled(source, run_folder, crawl) if isinstance(source, CrawlSource) else _given(source)
    for index, spec in enumerate(specs):
        yield Unit(name=f"{source.name}-{index:05d}", spec={"source": source.name, **spec})


def _crawled(source: CrawlSource, run_folder: Path, crawl: Manifest) -> Iterator[dict[str, object]]:
    """A crawl's files lie in the run's folder, and are named by their place in it: runs can be moved."""
    for path in crawl.paths(run_folder / "crawl", f"{source.name}/warc/"):
        yield {"file": str(path), "origin": path.relative_to(run_folder).as_posix(), "key": path.name}


def _given(source: WarcSource | TableSource | WikipediaSource) -> Iterator[dict[str, object]]:
    files = source_files(source)
    keys = key_names(files)
    for file in files:
        split = isinstance(source, WikipediaSource) and size_of(file) < DUMP_PARTS_BELOW
        parts = DUMP_PARTS if split else 1
        for part in range(parts):
            yield {"file": file, "origin": file, "key": keys[file], "part": part, "parts": parts}
