"""A source of Common Crawl over a small mirror: whole files, what they hold locally, a selection of records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from crawl2chat.core.settings_sources import CommonCrawlSource
from crawl2chat.core.units import Unit
from crawl2chat.pipelines.reading import read
from crawl2chat.pipelines.selecting import select_unit
from crawl2chat.pipelines.sources.common_crawl import crawl_files, index_files
from crawl2chat.pipelines.sources.records import Item, Other
from crawl2chat.pipelines.sources.selection import unit_specs
from crawl2chat.pipelines.sources.warc import read_warc

MAX = 10 << 20
QUICK = {"retry_wait": 0.01, "requests_per_second": 1000.0}
SELECT: dict[str, Any] = {"mimes": [], "status": []}


def source(mirror: Any, **settings: Any) -> CommonCrawlSource:
    address = mirror if isinstance(mirror, str) else mirror.url
    access = {**QUICK, **settings.pop("access", {})}
    settings = {"name": "cc", "crawl": "CC-MAIN-2024-10", "mirror": address, "access": access, **settings}
    return CommonCrawlSource(kind="common_crawl", **settings)


def whole(mirror: Any, path: str, **settings: Any) -> list[Item]:
    return list(read(source(mirror, **settings), {"file": path, "origin": path, "key": path}, MAX))


def local(mirror: Any, path: str) -> list[Item]:
    with (mirror.folder / path).open("rb") as handle:
        return list(read_warc(handle, MAX))


def select(mirror: Any, folder: Path, records_per_unit: int = 20_000, **settings: Any) -> tuple[list[Any], list[Item]]:
    """The specs of a selection's units, and the items of all of them."""
    chosen = source(mirror, **{"select": SELECT, **settings})
    for number, file in enumerate(index_files(chosen)):
        unit = Unit(name=f"i-{number}", spec={"file": file, "number": number})
        files = crawl_files(chosen) if chosen.files is not None else None
        select_unit(unit, folder, {}, source=chosen, chosen=files)
    selection = folder / "selection" / "cc"
    specs = list(unit_specs(selection, records_per_unit))
    return specs, [item for spec in specs for item in read(chosen, {**spec, "selection": str(selection)}, MAX)]


def places(items: list[Item]) -> list[tuple[str, str]]:
    return [(item.key, item.place) for item in items if not isinstance(item, Other)]


def crawl_mirror_fault(**settings: Any) -> Any:
    import mirror_server  # loaded by the fixture

    return mirror_server.Fault(**settings)
