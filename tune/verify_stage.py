"""Stage `verify`: the target is trained as its forecast says, on the ladder's schedule, and the two are compared.

    checkpoints/, metrics.jsonl, tensorboard/, verified/    as those of pretraining
    began.json           when its training first began: never before the forecast was written
    verification.json    tune/forecast.py

counters and facts are pretraining's, with forecast, low, high, error, inside. A forecast that fails is no error.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import ContractError, InputError
from ..core.files import sha256_file, write_json
from ..core.manifest import file_entry
from ..core.recipe import Recipe
from ..core.stage import Stage, StageContext, StageResult
from ..train.pretrain_stage import rounding
from .forecast import FORECAST, VERIFICATION, Forecast, Verification, read_forecast
from .rows import parameters_of, row_model

if TYPE_CHECKING:
    from ..train.job import Job

BEGAN = "began.json"
FIX = "remove the folders forecast and verify of the run, and run the same command again"


def config_of(recipe: Recipe) -> dict[str, Any]:
    """What the weights depend on, beside the forecast's learning rate."""
    tune = recipe.tune
    assert tune.ladder is not None and tune.target is not None
    return {
        "seed": recipe.seed,
        "model": row_model(tune.target.row, tune).model_dump(mode="json"),
        "tokens": tune.target.tokens,
        "batch": tune.batch,
        "warmup_share": tune.warmup_share,
        "shortest": tune.ladder.lengths(parameters_of(tune.target.row, recipe), limited=False)[0],
        "decay_share": tune.ladder.decay_share,
        "validation_rows": tune.validation_rows,
        "optimizer": recipe.train.optimizer.model_dump(
            mode="json", exclude={"learning_rate", "warmup_steps", "schedule", "decay_share"}
        ),
        "precision": recipe.train.precision,
        **rounding(recipe),
        **({"mixture": recipe.mixture.model_dump(mode="json")} if recipe.mixture else {}),
        **({"document_mask": True} if recipe.train.document_mask else {}),
    }


def _check(ctx: StageContext) -> None:
    from ..tokenize.bpe import Tokenizer
    from ..tokenize.shards import check_tokenizer
    from ..train.mixture import open_rows

    tune, shards, folder = ctx.recipe.tune, ctx.inputs["shards"], ctx.input_folder("shards")
    assert tune.target is not None
    check_tokenizer(shards, Tokenizer.load(ctx.input_folder("tokenizer") / "tokenizer.json"))
    open_rows(shards.paths(folder, "train/"), row_model(tune.target.row, tune).context, ctx.recipe.mixture)
    if not shards.paths(folder, "validation/"):
        raise InputError("no document fell into the validation split", "raise shards.validation_share")
    _untouched(ctx)


def _work(ctx: StageContext) -> StageResult:
    from ..tokenize.bpe import Tokenizer
    from ..train.launcher import launch
    from ..train.outcome import result
    from .verify_job import verify_job

    forecast = read_forecast(ctx.input_folder("forecast"))
    began = _begin(ctx.folder, forecast)
    tokenizer = Tokenizer.load(ctx.input_folder("tokenizer") / "tokenizer.json")
    job = verify_job(ctx, tokenizer, forecast.learning_rate, config_of(ctx.recipe))
    launch(job, ctx.recipe.resources, ctx.progress)
    found = result(job, {})
    verification = compare(job, forecast, (datetime.now(UTC) - began).total_seconds())
    write_json(ctx.folder / VERIFICATION, verification.model_dump(mode="json"))
    low, high = verification.interval
    counters = {"forecast": verification.forecast, "low": low, "high": high, "error": verification.error}
    files = [*found.files, file_entry(ctx.folder, ctx.folder / VERIFICATION, len(verification.curve))]
    return StageResult(files, {**found.counters, **counters, "inside": int(verification.inside)}, found.facts)


def compare(job: Job, forecast: Forecast, seconds: float) -> Verification:
    """The forecast against metrics.jsonl of a finished training."""
    from ..train.metrics import read_metrics

    assert forecast.loss is not None and forecast.interval is not None
    rows = [row for row in read_metrics(job.folder) if "validation_loss" in row]
    each, last = job.plan.batch * job.model.context, rows[-1]
    loss, (low, high) = last["validation_loss"], forecast.interval
    return Verification(
        loss=loss,
        bits_per_byte=last["bits_per_byte"],
        forecast=forecast.loss,
        interval=(low, high),
        error=(loss - forecast.loss) / forecast.loss,
        inside=low <= loss <= high,
        learning_rate=forecast.learning_rate,
        steps=job.plan.steps,
        tokens=job.plan.steps * each,
        seconds=round(seconds, 1),
        curve=[(row["step"] * each, row["validation_loss"]) for row in rows],
    )


def _untouched(ctx: StageContext) -> None:
    """Raise ContractError when forecast.json is not the one that the stage `forecast` wrote."""
    path = ctx.input_folder("forecast") / FORECAST
    [wanted] = [entry.sha256 for entry in ctx.inputs["forecast"].files if entry.path == FORECAST]
    if (found := sha256_file(path)) != wanted:
        raise ContractError(f"{path} has the SHA-256 {found}, its manifest says {wanted}: it was changed", FIX)


def _begin(folder: Path, forecast: Forecast) -> datetime:
    """When this training first began. Raises ContractError when that was before the forecast was written."""
    path = folder / BEGAN
    if not path.exists():
        write_json(path, datetime.now(UTC).isoformat())
    began = datetime.fromisoformat(json.loads(path.read_text(encoding="utf-8")))
    metas = (folder / "checkpoints").glob("*/meta.json")
    first = min([began, *(datetime.fromtimestamp(meta.stat().st_mtime, UTC) for meta in metas)])
    if forecast.written > first:
        raise ContractError(
            f"the forecast was written {forecast.written.isoformat()}, after the target's training began, "
            f"{first.isoformat()}: it would be no forecast",
            FIX,
        )
    return began


VERIFY = Stage("verify", ("tokenizer", "shards", "tune", "forecast"), config_of, _work, check=_check)
