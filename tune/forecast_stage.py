"""Stage `forecast`: the laws of the sweep, and what they say of the target, written down before it is trained.

    forecast.json    tune/forecast.py
    laws.json        the laws, for `crawl2chat tune table --laws` (tune/laws.py)

counters: points, draws, and with a target loss, low, high, compute_ratio.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ..core.code_version import code_version
from ..core.manifest import file_entry
from ..core.recipe import Recipe
from ..core.stage import Stage, StageContext, StageResult
from .checks import check_sweep
from .forecast import write_forecast
from .laws import write_laws
from .results import read_results, read_sweep
from .rows import row_model

LAWS = "laws.json"


def _config(recipe: Recipe) -> dict[str, Any]:
    tune = recipe.tune
    return {
        "tune": tune.model_dump(mode="json", include={"ladder", "target", "transfer", "batch"}),
        **({"row": row_model(tune.target.row, tune).model_dump(mode="json")} if tune.target else {}),
    }


def _work(ctx: StageContext) -> StageResult:
    from .forecast_make import make_forecast  # here: it imports scipy

    folder, tune = ctx.input_folder("tune"), ctx.recipe.tune
    vocab_size = ctx.inputs["tokenizer"].facts["vocab_size"]
    now = datetime.now(UTC)
    forecast = make_forecast(read_results(folder), read_sweep(folder), tune, vocab_size, now, code_version())
    paths = [write_forecast(ctx.folder, forecast), ctx.folder / LAWS]
    # rates with transfer are those of the base row, and no law for others
    best = {} if tune.transfer else {key: law for key, law in forecast.best.items() if law is not None}
    write_laws(paths[1], {"loss": forecast.law, **best}, intervals=forecast.intervals, marks=forecast.marks)
    counters: dict[str, float | int] = {"points": len(forecast.points), "draws": forecast.draws}
    if forecast.loss is not None and forecast.interval is not None and forecast.compute_ratio is not None:
        low, high = forecast.interval
        counters |= {"loss": forecast.loss, "low": low, "high": high, "compute_ratio": forecast.compute_ratio}
    return StageResult([file_entry(ctx.folder, path, len(forecast.points)) for path in paths], counters)


FORECAST = Stage(
    "forecast",
    ("tokenizer", "tune"),
    _config,
    _work,
    check=lambda ctx: check_sweep(ctx.recipe),
    needs_ray=False,
    version=3,
)
