"""The stage `extract`: sources to documents, in one map over units on Ray Data.

A worker streams its unit: read, extract, identify the language, filter, score, mask, write. HTML stays inside the
worker; what travels through Ray are unit specs and reports. Every record ends in documents/UNIT.parquet or
dropped/UNIT.parquet; scores/UNIT.parquet has what the filters measured.

facts: {"sources": {NAME: {documents_in, documents, dropped, bytes_text}}}
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from ..core.recipe import Recipe
from ..core.settings_data import Extract, Filters, Language
from ..core.settings_quality import Classifier, Pii, Toxicity
from ..core.settings_sources import CommonCrawlSource, Source
from ..core.stage import Stage, StageContext, StageResult, sections
from ..core.unit_map import map_units
from ..core.units import Unit, UnitReport, total
from .empty_sources import check_kept
from .library_versions import library_versions
from .light_import import without_torch
from .reading import read, units
from .refine_inputs import digests
from .selecting import select_records
from .sources.common_crawl import Mirror
from .sources.multistream import index_stamps
from .sources.paths import stamps
from .sources.records import Other

SECTIONS = ("extract", "language", "filters", "toxicity", "classifiers", "pii")
FACTS = ("documents_in", "documents", "dropped", "bytes_text")


def extract_unit(unit: Unit, folder: Path, config: dict[str, Any], given: Sequence[Source] | None = None) -> UnitReport:
    """Do one unit. config: the stage's slice of the recipe; given: the sources with what that slice leaves out."""
    with without_torch():  # here, and so: spaCy and datatrove take long to import
        from .ledger import UnitWriter
        from .quality.scores import ScoreWriter
        from .refine import Refiner, batches

    sources = given or TypeAdapter(list[Source]).validate_python(config["sources"])
    source = next(source for source in sources if source.name == unit.spec["source"])
    settings = Extract.model_validate(config["extract"])
    classifiers = TypeAdapter(list[Classifier]).validate_python(config["classifiers"])
    refiner = Refiner(
        source,
        unit.spec["origin"],
        unit.spec["key"],
        settings,
        Language.model_validate(config["language"]),
        Filters.model_validate(config["filters"]),
        classifiers,
        TypeAdapter(Toxicity | None).validate_python(config["toxicity"]),
        TypeAdapter(Pii | None).validate_python(config["pii"]),
    )
    writer = UnitWriter(folder, unit.name, [one.name for one in classifiers])
    with ScoreWriter(folder, unit.name, refiner.measures) as scores, writer as out:
        items = read(source, unit.spec, settings.max_html_bytes, settings.page_seconds, settings.page_mb)
        for batch in batches(items):
            out.counters.update(f"records.{item.kind}" for item in batch if isinstance(item, Other))
            documents = [item for item in batch if not isinstance(item, Other)]
            out.counters["documents_in"] += len(documents)
            for outcome in refiner.refine(documents):
                out.counters["lines_removed"] += outcome.lines_removed
                out.counters.update({f"pii.{kind}": number for kind, number in outcome.masked.items()})
                (out.keep if outcome.kept else out.drop)(outcome.row)
            scores.add(refiner.scores)
    report = out.report()
    return report.model_copy(update={"files": report.files + scores.entries()})


def _config(recipe: Recipe) -> dict[str, Any]:
    """Of a source, what decides what comes out: not where it is fetched from, and how fast."""
    sources = [source.identity() for source in recipe.sources]
    return {"sources": sources, **sections(*SECTIONS)(recipe)}


def _work(context: StageContext) -> StageResult:
    recipe = context.recipe
    # held while the workers work: the pace that they share lives as long as the first that asked for it
    mirrors = [Mirror(source) for source in recipe.sources if isinstance(source, CommonCrawlSource)]
    selected = select_records(context)
    todo = units(recipe, context.run.folder, context.inputs["crawl"])
    work = partial(extract_unit, given=recipe.sources)
    reports = map_units(work, todo, context.folder, _config(recipe), context.progress)
    del mirrors
    check_kept(context.folder, reports)
    by_source = {source.name: dict.fromkeys(FACTS, 0) for source in context.recipe.sources}
    for unit, report in zip(todo, reports, strict=True):
        for name in FACTS:
            by_source[unit.spec["source"]][name] += report.counters[name]
    files = [entry for report in reports for entry in report.files]
    return StageResult(selected + files, {**total(reports)}, {"sources": by_source})


def _external(recipe: Recipe) -> dict[str, str]:
    return {**stamps(recipe), **index_stamps(recipe), **digests(recipe), **library_versions(recipe)}


EXTRACT = Stage("extract", inputs=("crawl",), config=_config, work=_work, version=8, external=_external)
