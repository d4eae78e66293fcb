"""How many bytes the recipe's sources have, unit by unit: listed where they can be, else as said, else as assumed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..core.errors import InputError
from ..core.manifest import Manifest
from ..core.recipe import Recipe
from ..core.settings_sources import CommonCrawlSource, CrawlSource, FileSource, Source
from ..pipelines.reading import units
from .cluster import GB
from .run_profile import Profile, unit_sizes

UNIT_BYTES = GB  # of a file where none is listed, as those of Common Crawl
PAGE_BYTES = 8000.0  # of a crawled page in a gzip WARC file, where no crawl was measured
_NO_CRAWL = Manifest(
    stage="crawl", version=0, config={}, fingerprint="", inputs={}, files=[], counters={}, facts={}, code_version="",
    seconds=0,
)  # fmt: skip


@dataclass(frozen=True)
class SourceBytes:
    """Bytes of each unit of a source, how they are known, and pages to be fetched, for a crawl."""

    sizes: tuple[float, ...]
    known: str
    pages: int = 0

    @property
    def total(self) -> float:
        return sum(self.sizes)


def bytes_of_sources(recipe: Recipe, profile: Profile, given: Mapping[str, float]) -> dict[str, SourceBytes]:
    """Of each source by name. `given`: bytes that the user says. Raises InputError for a name that is none, for files
    that are not there, and where nothing tells how much a source has."""
    names = [source.name for source in recipe.sources]
    for name in given:
        if name not in names:
            raise InputError(f"--bytes {name}: the recipe has no such source", f"one of {', '.join(names)}")
    return {source.name: _of(recipe, source, profile, given.get(source.name)) for source in recipe.sources}


def _of(recipe: Recipe, source: Source, profile: Profile, given: float | None) -> SourceBytes:
    if given is not None:
        return _files(given, "as given")
    if isinstance(source, CrawlSource):
        return _crawled(source, profile)
    if isinstance(source, FileSource):
        alone = recipe.model_copy(update={"sources": [source]})
        return SourceBytes(tuple(unit_sizes(units(alone, recipe.folder, _NO_CRAWL)).values()), "listed")
    return _common_crawl(source)


def _crawled(source: CrawlSource, profile: Profile) -> SourceBytes:
    """As many pages as it may fetch, each as large as those of the profile."""
    known = next((profile.sources[name] for name in profile.of_kind("crawl") if name == source.name), None)
    known = known or next((profile.sources[name] for name in profile.of_kind("crawl")), None)
    page = known["input bytes"] / known["pages"] if known is not None and known.get("pages") else PAGE_BYTES
    size = min(source.max_pages * page, float(source.max_bytes))
    how = f"{source.max_pages:,} pages at most, {page / 1000:.1f} kB each"
    return SourceBytes((size / source.warc_files,) * source.warc_files, how, source.max_pages)


def _common_crawl(source: CommonCrawlSource) -> SourceBytes:
    files = source.files if isinstance(source.files, int) else None
    if isinstance(source.files, tuple):
        files = source.files[1] - source.files[0]
    if files is None or source.select is not None or source.format == "wet":
        raise InputError(
            f"source {source.name}: how many bytes it has is not known without asking its mirror",
            f"say it: --bytes {source.name}=100g",
        )
    return SourceBytes((UNIT_BYTES,) * files, f"{files:,} files of 1 GB, assumed")


def _files(total: float, known: str) -> SourceBytes:
    files = max(1, round(total / UNIT_BYTES))
    return SourceBytes((total / files,) * files, known)
