"""The stage `paragraphs`: cuts lines that many documents share. Four passes over units; see paragraphs_units.py.

A recipe without the section `paragraphs` has no such stage. The number of partitions changes no result.
"""

from __future__ import annotations

from typing import Any

from ..core.documents import extracted_units, ledger_stages
from ..core.recipe import Recipe
from ..core.stage import Stage, StageContext, StageResult
from ..core.unit_map import map_units
from ..core.units import Unit, total
from ..dedup.hash_parts import part_units, parts_for
from .paragraphs_units import add_part, count_unit, cut_unit, show


def _config(recipe: Recipe) -> dict[str, Any]:
    settings = recipe.paragraphs
    return {"paragraphs": settings.model_dump(mode="json", exclude={"partitions"}) if settings else None}


def _work(ctx: StageContext) -> StageResult:
    settings = ctx.recipe.paragraphs
    assert settings is not None, "without paragraphs the recipe has no such stage"
    units = extracted_units(ctx.inputs["extract"])
    # in all units' records: one that another attempt's worker still writes must not count
    made_from = {"inputs": {name: manifest.digest for name, manifest in ctx.inputs.items()}}
    before = [str(ctx.input_folder(name)) for name in ledger_stages(ctx.recipe) if name in ctx.inputs]
    folders = {"extract": str(ctx.input_folder("extract")), "stages": before}
    reads: dict[str, Any] = made_from | folders
    counts = ctx.folder / "counts"
    lines = total(map_units(count_unit, units, counts, reads, ctx.progress)).get("lines", 0)
    number_of_parts = settings.partitions or parts_for(lines)
    layout: dict[str, Any] = {"counts": str(counts), "units": [unit.name for unit in units]} | made_from
    layout |= {"parts": number_of_parts, "max_documents": settings.max_documents}
    counted = map_units(
        add_part, part_units(number_of_parts), ctx.folder / "frequent", layout, ctx.progress, counting="paragraphs"
    )
    [shown] = map_units(show, [Unit(name="frequent")], ctx.folder, layout | reads, ctx.progress)
    config = reads | _config(ctx.recipe)
    reports = map_units(cut_unit, units, ctx.folder, config, ctx.progress)
    files = [*shown.files, *(entry for report in reports for entry in report.files)]
    return StageResult(files, {**total(reports), **total(counted)})


PARAGRAPHS = Stage("paragraphs", ("extract", "dedup"), _config, _work, version=2)
