"""The stage `extract`: sources to documents, in one map over units on Ray Data.

A worker streams its unit: read, extract, identify the language, filter, write. HTML stays inside the worker; what
travels through Ray are unit specs and reports. Every record ends in documents/UNIT.parquet or dropped/UNIT.parquet.

facts: {"sources": {NAME: {documents_in, documents, dropped, bytes_text}}}
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from ..core.recipe import Recipe
from ..core.settings_data import CrawlSource, Extract, Filters, Language, Source
from ..core.stage import Stage, StageContext, StageResult, sections
from ..core.unit_map import map_units
from ..core.units import Unit, UnitReport, total
from .reading import read, units
from .sources.paths import stamps
from .sources.records import Other

FACTS = ("documents_in", "documents", "dropped", "bytes_text")


def extract_unit(unit: Unit, folder: Path, config: dict[str, Any]) -> UnitReport:
    """Do one unit. config: the stage's slice of the recipe."""
    from .ledger import UnitWriter
    from .refine import Refiner, batches  # here: spaCy and datatrove take seconds to import

    sources: list[Source] = TypeAdapter(list[Source]).validate_python(config["sources"])
    source = next(source for source in sources if source.name == unit.spec["source"])
    settings = Extract.model_validate(config["extract"])
    language, filters = Language.model_validate(config["language"]), Filters.model_validate(config["filters"])
    refiner = Refiner(source, unit.spec["origin"], unit.spec["key"], settings, language, filters)
    part, parts = unit.spec.get("part", 0), unit.spec.get("parts", 1)
    with UnitWriter(folder, unit.name) as out:
        for batch in batches(read(source, unit.spec["file"], settings.max_html_bytes, part, parts)):
            out.counters.update(f"records.{item.kind}" for item in batch if isinstance(item, Other))
            documents = [item for item in batch if not isinstance(item, Other)]
            out.counters["documents_in"] += len(documents)
            for outcome in refiner.refine(documents):
                out.counters["lines_removed"] += outcome.lines_removed
                (out.keep if outcome.kept else out.drop)(outcome.row)
    return out.report()


def _config(recipe: Recipe) -> dict[str, Any]:
    """How a source is crawled does not matter here: the crawl's files stand for it, as an input."""
    sources = [
        {"kind": source.kind, "name": source.name}
        if isinstance(source, CrawlSource)
        else source.model_dump(mode="json")
        for source in recipe.sources
    ]
    return {"sources": sources, **sections("extract", "language", "filters")(recipe)}


def _work(context: StageContext) -> StageResult:
    todo = units(context.recipe, context.run.folder, context.inputs["crawl"])
    reports = map_units(extract_unit, todo, context.folder, _config(context.recipe), context.progress)
    by_source = {source.name: dict.fromkeys(FACTS, 0) for source in context.recipe.sources}
    for unit, report in zip(todo, reports, strict=True):
        for name in FACTS:
            by_source[unit.spec["source"]][name] += report.counters[name]
    files = [entry for report in reports for entry in report.files]
    return StageResult(files, {**total(reports)}, {"sources": by_source})


EXTRACT = Stage("extract", inputs=("crawl",), config=_config, work=_work, version=2, external=stamps)
