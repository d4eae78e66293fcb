"""The stage `spans`: runs of words that stand in two places or more. Five passes: spans_units.py, spans_cut.py.

A recipe without the section `spans` has no such stage. Neither units, their order, workers nor partitions change the
result. A killed attempt goes on within the pass, unit by unit.
"""

from __future__ import annotations

from typing import Any

from ..core.documents import extracted_units, ledger_stages
from ..core.recipe import Recipe
from ..core.stage import Stage, StageContext, StageResult
from ..core.unit_map import map_units
from ..core.units import total
from .hash_parts import part_units, parts_for
from .spans_cut import cut_unit
from .spans_units import anchor_unit, first_places, repeat_anchors, window_unit

_PART_WINDOWS = 1 << 23  # rows of 28 bytes, and copies while they are sorted


def _config(recipe: Recipe) -> dict[str, Any]:
    settings = recipe.spans
    return {"spans": settings.model_dump(mode="json", exclude={"partitions"}) if settings else None}


def _work(ctx: StageContext) -> StageResult:
    settings = ctx.recipe.spans
    assert settings is not None, "without spans the recipe has no such stage"
    units = extracted_units(ctx.inputs["extract"])
    before = [str(ctx.input_folder(name)) for name in ledger_stages(ctx.recipe) if name in ctx.inputs]
    # in all units' records: one that another attempt's worker still writes must not count
    made_from: dict[str, Any] = {"inputs": {name: manifest.digest for name, manifest in ctx.inputs.items()}}
    made_from |= {"length": settings.min_tokens}
    reads = made_from | {"extract": str(ctx.input_folder("extract")), "stages": before}
    names = made_from | {"units": [unit.name for unit in units]}
    folders = {name: ctx.folder / name for name in ("anchors", "repeated", "windows", "places")}
    at = {name: str(folder) for name, folder in folders.items()}

    counts = total(map_units(anchor_unit, units, folders["anchors"], reads, ctx.progress))
    parts = settings.partitions or parts_for(counts.get("anchors", 0))
    layout = {"anchors": at["anchors"], "parts": parts}
    map_units(repeat_anchors, part_units(parts), folders["repeated"], names | layout, ctx.progress, "anchors")

    layout |= {"repeated": at["repeated"]}
    windows = total(map_units(window_unit, units, folders["windows"], reads | layout, ctx.progress)).get("windows", 0)
    parts = settings.partitions or parts_for(windows, _PART_WINDOWS)
    layout = {"windows": at["windows"], "parts": parts}
    map_units(first_places, part_units(parts), folders["places"], names | layout, ctx.progress, "windows")

    config = reads | layout | {"places": at["places"]} | _config(ctx.recipe)
    reports = map_units(cut_unit, units, ctx.folder, config, ctx.progress)
    files = [entry for report in reports for entry in report.files]
    return StageResult(files, {**total(reports), "words": counts.get("words", 0)})


SPANS = Stage("spans", ("extract", "dedup"), _config, _work)
