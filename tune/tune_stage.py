"""Stage `tune`: learning rates searched over rows of the scaling table, on the run's own token shards.

    tune/results.json    one object a trial (tune/results.py), rows as in the recipe, the lowest loss first within a row
    tune/ray/            Ray Tune's own files; TensorBoard reads them

A trial that finishes has the same losses each time. Which trials ASHA stops early depends on which of them come first.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ..core.errors import RecipeError, StageError
from ..core.log import log
from ..core.manifest import file_entry
from ..core.recipe import Recipe
from ..core.settings_tune import Tune
from ..core.stage import Stage, StageContext, StageResult
from .results import best_of_rows, write_results
from .table import Row, Shape, choose_rows

if TYPE_CHECKING:
    from .trial import Trial

_READ = {*Shape.model_fields, "learning_rate"}  # of a row


def _config(recipe: Recipe) -> dict[str, Any]:
    """What the results depend on: the section, what it reads of the rows, the optimizer. `concurrent` changes none."""
    rows = _rows(recipe.tune)
    return {
        "seed": recipe.seed,
        "tune": recipe.tune.model_dump(mode="json", exclude={"concurrent"}),
        "rows": {name: row.model_dump(mode="json", include=_READ, exclude_none=True) for name, row in rows.items()},
        "optimizer": recipe.train.optimizer.model_dump(mode="json", exclude={"learning_rate", "warmup_steps"}),
        "precision": recipe.train.precision,
        **({"mixture": recipe.mixture.model_dump(mode="json")} if recipe.mixture else {}),
        **({"document_mask": True} if recipe.train.document_mask else {}),
    }


def _rows(settings: Tune) -> dict[str, Row]:
    for key in ("rows", "learning_rates"):
        values = getattr(settings, key) or []
        if len(set(values)) < len(values):
            raise RecipeError(f"tune.{key} is {values}: a value stands there twice", "name each once")
    return choose_rows(settings.rows)


def learning_rates(row: Row, settings: Tune) -> list[float]:
    """The recipe's, or the row's own, a third of it, and three times it: the likeliest first, to lead ASHA's rungs."""
    own = row.learning_rate
    return settings.learning_rates or [own, float(f"{own / 3:.2g}"), float(f"{own * 3:.2g}")]


def plan_trials(ctx: StageContext) -> list[Trial]:
    """All trials, those of the largest rows first, so that no long one is left over at the end."""
    from .trial import Trial

    recipe, settings = ctx.recipe, ctx.recipe.tune
    shards, tokenizer = ctx.input_folder("shards"), ctx.input_folder("tokenizer") / "tokenizer.json"
    rows = sorted(_rows(settings).items(), key=lambda item: -item[1].parameters_without_embedding())
    warmup = math.ceil(settings.warmup_share * settings.steps)
    return [
        Trial(
            row=name,
            shape=Shape.model_validate(row.model_dump(include=set(Shape.model_fields))),
            tokenizer=str(tokenizer),
            train_paths=[str(path) for path in ctx.inputs["shards"].paths(shards, "train/")],
            validation_paths=[str(path) for path in ctx.inputs["shards"].paths(shards, "validation/")],
            validation_rows=settings.validation_rows,
            steps=settings.steps,
            batch=settings.batch,
            report_every=settings.report_every,
            precision=recipe.train.precision,
            seed=recipe.seed,
            optimizer=recipe.train.optimizer.model_copy(update={"learning_rate": rate, "warmup_steps": warmup}),
            mixture=recipe.mixture,
            document_mask=recipe.train.document_mask,
        )
        for name, row in rows
        for rate in learning_rates(row, settings)
    ]


def _work(ctx: StageContext) -> StageResult:
    from .search import search

    trials = plan_trials(ctx)
    seen = {trial.name: 0 for trial in trials}  # tokens
    ctx.progress.start(len(trials), counting="tokens")

    def listen(name: str, report: dict[str, Any], ended: bool) -> None:
        fresh = max(0, report.get("tokens", 0) - seen[name])
        seen[name] += fresh
        ctx.progress.advance(int(ended), fresh, note="" if ended else f"{name}: loss {report['validation_loss']:.3f}")

    results = search(trials, ctx.recipe.tune, ctx.folder, ctx.inputs["tokenizer"].facts["vocab_size"], listen)
    for result in results:
        if result.state in ("diverged", "failed"):
            log.warning("tune: %s at %g %s %s", result.row, result.learning_rate, result.state, result.error or "")
    best = best_of_rows(results)
    if not best:
        raise StageError(
            f"all {len(results)} trials diverged or failed, the first: {results[0].error or results[0].state}",
            "lower tune.learning_rates, or read the trials' folders below tune/ray",
        )
    place = {name: number for number, name in enumerate(ctx.recipe.tune.rows)}
    results.sort(key=lambda result: (place[result.row], result.rank))
    path = write_results(ctx.folder, results)
    states = [result.state for result in results]
    counters: dict[str, float | int] = {
        "trials": len(results),
        "steps": sum(result.steps for result in results),
        "validation_loss": min(result.rank for result in results),
    }
    counters |= {state: states.count(state) for state in ("finished", "stopped", "diverged", "failed")}
    facts = {row: result.model_dump(mode="json", exclude={"seconds", "error"}) for row, result in best.items()}
    return StageResult([file_entry(ctx.folder, path, len(results))], counters, {"best": facts})


TUNE = Stage("tune", inputs=("tokenizer", "shards"), config=_config, work=_work)
