"""The stage `decontaminate`: documents that hold items of evaluation sets leave, or lose the spans that do.

Five passes over units; see decontaminate_units.py. A recipe without `decontaminate.sets` has no such stage.
"""

from __future__ import annotations

from typing import Any

from ..core.documents import extracted_units, ledger_stages
from ..core.log import log
from ..core.stage import Stage, StageContext, StageResult, sections
from ..core.unit_map import map_units
from ..core.units import Unit, total
from .decontaminate_sets import check_sets, set_stamps
from .decontaminate_units import find_common, judge_unit, list_items, match_unit, write_index


def _work(ctx: StageContext) -> StageResult:
    units = extracted_units(ctx.inputs["extract"])
    settings = sections("decontaminate")(ctx.recipe)
    names = {"units": [unit.name for unit in units]}
    before = [str(ctx.input_folder(name)) for name in ledger_stages(ctx.recipe) if name in ctx.inputs]
    # in all units' records: one that another attempt's worker still writes must not count
    made_from: dict[str, Any] = settings | {"files": set_stamps(ctx.recipe)}
    made_from["inputs"] = {name: manifest.digest for name, manifest in ctx.inputs.items()}
    reads = made_from | {"extract": str(ctx.input_folder("extract")), "stages": before}
    index = ctx.folder / "index"
    [indexed] = map_units(write_index, [Unit(name="index")], index, made_from, ctx.progress)
    map_units(match_unit, units, ctx.folder / "matches", reads | {"index": str(index)}, ctx.progress)
    limit = made_from | names | {"max_documents": ctx.recipe.decontaminate.max_documents}
    map_units(find_common, [Unit(name="common")], ctx.folder, limit, ctx.progress)
    reports = map_units(judge_unit, units, ctx.folder, reads, ctx.progress)
    [listed] = map_units(list_items, [Unit(name="items")], ctx.folder, made_from | names, ctx.progress)
    for one in ctx.recipe.decontaminate.sets:
        if short := indexed.counters[f"items_short.{one.name}"]:
            log.warning(
                "decontaminate.sets.%s: %d of %d items have too few words to be looked for",
                *(one.name, short, indexed.counters[f"items.{one.name}"]),
            )
    files = [*listed.files, *(entry for report in reports for entry in report.files)]
    return StageResult(files, {**total(reports), **indexed.counters, **listed.counters})


DECONTAMINATE = Stage(
    "decontaminate",
    ("extract", "dedup"),
    sections("decontaminate"),
    _work,
    external=set_stamps,
    check=lambda ctx: check_sets(ctx.recipe),
)
