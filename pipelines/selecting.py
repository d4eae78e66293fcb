"""The records that common_crawl sources select, found in the crawl's URL index before the units are known.

extract/selection/SOURCE/NUMBER.parquet    SELECTED (sources/selection.py), one for each file of the index
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from ..core.errors import StageError
from ..core.files import atomic_path
from ..core.manifest import FileEntry, file_entry
from ..core.settings_sources import CommonCrawlSource
from ..core.stage import StageContext
from ..core.unit_map import map_units
from ..core.units import Unit, UnitReport
from .sources.common_crawl import Mirror, crawl_files, index_files
from .sources.selection import matching, write_selection


def select_records(context: StageContext) -> list[FileEntry]:
    """Write the selections of all sources that have one. Raises StageError for one that matches nothing."""
    entries: list[FileEntry] = []
    for source in context.recipe.sources:
        if not isinstance(source, CommonCrawlSource) or source.select is None:
            continue
        chosen = crawl_files(source) if source.files is not None else None
        units = [
            Unit(name=f"{source.name}.index-{number:05d}", spec={"file": file, "number": number})
            for number, file in enumerate(index_files(source))
        ]
        work = partial(select_unit, source=source, chosen=chosen)
        settings = {"select": source.identity()}
        reports = map_units(work, units, context.folder, settings, context.progress, counting="records")
        if not sum(report.counters["records"] for report in reports):
            raise StageError(
                f"sources.{source.name}.select matches no record in {len(units)} files of the index",
                "loosen domains, languages, mimes or status, or read more of the index",
            )
        entries += [entry for report in reports for entry in report.files]
    return entries


def select_unit(
    unit: Unit, folder: Path, config: dict[str, Any], source: CommonCrawlSource, chosen: list[str] | None
) -> UnitReport:
    """Search one file of the index. chosen: only records of these WARC files."""
    assert source.select is not None
    with Mirror(source).open(unit.spec["file"]) as handle:
        table = matching(handle, unit.spec["file"], source.select, chosen)
    path = folder / "selection" / source.name / f"{unit.spec['number']:05d}.parquet"
    with atomic_path(path) as partial_path:
        write_selection(partial_path, table)
    return UnitReport(
        name=unit.name, files=[file_entry(folder, path, table.num_rows)], counters={"records": table.num_rows}
    )
