"""Stage `tune`: a search over rows of the scaling table, on the run's own token shards, and the ladder behind its laws.

    tune/results.json, curves.json, sweep.json    what was found (tune/results.py)
    tune/phases/    what each phase found, when it has ended: a killed sweep goes on after it
    tune/ray/       Ray Tune's own files; TensorBoard reads them

A trial that finishes has the same losses each time. Which trials ASHA stops early depends on which of them come first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.errors import RecipeError, StageError
from ..core.manifest import file_entry
from ..core.recipe import Recipe
from ..core.remote_path import RemotePath
from ..core.stage import Stage, StageContext, StageResult
from ..train.pretrain_stage import rounding
from .results import State, best_of_rows, in_order, write_results
from .rows import named_rows, own_rates

if TYPE_CHECKING:
    from .plan import Trials

_STATES: tuple[State, ...] = ("finished", "stopped", "diverged", "failed", "not started")


def _config(recipe: Recipe) -> dict[str, Any]:
    """What the results depend on: the section, its rows' shapes (not those of the target), the optimizer. `concurrent`
    changes none."""
    return {
        "seed": recipe.seed,
        "tune": recipe.tune.model_dump(mode="json", exclude={"concurrent", "target", "shapes"}),
        "rows": {name: model.model_dump(mode="json") for name, model in named_rows(recipe.tune).items()},
        **({} if "learning_rate" in recipe.tune.space else {"rates": own_rates(recipe.tune)}),
        "optimizer": recipe.train.optimizer.model_dump(mode="json", exclude={"warmup_steps"}),
        "precision": recipe.train.precision,
        **rounding(recipe),
        **({"mixture": recipe.mixture.model_dump(mode="json")} if recipe.mixture else {}),
        **({"document_mask": True} if recipe.train.document_mask else {}),
    }


def sweep_trials(ctx: StageContext) -> Trials:
    """What makes the trials, on the shards of the run."""
    from .plan import Trials

    shards, tokenizer = ctx.input_folder("shards"), ctx.input_folder("tokenizer") / "tokenizer.json"
    train, validation = (ctx.inputs["shards"].paths(shards, f"{split}/") for split in ("train", "validation"))
    return Trials(ctx.recipe, tokenizer, train, validation, ctx.folder / "ray")


def _check(ctx: StageContext) -> None:
    from .checks import check_sweep

    if isinstance(ctx.folder, RemotePath):
        raise RecipeError(
            f"{ctx.folder}: a search writes its state where only a file system can hold it",
            "search in a run whose storage is a folder, and train what it finds in this one",
        )
    check_sweep(ctx.recipe)


def _work(ctx: StageContext) -> StageResult:
    from .sweep import SweepRun

    trials = sweep_trials(ctx)
    seen: dict[str, float] = {}  # tokens
    ctx.progress.start(trials.count(), counting="tokens")

    def listen(name: str, report: dict[str, Any], ended: bool) -> None:
        fresh = max(0, report.get("tokens", 0) - seen.get(name, 0))
        seen[name] = seen.get(name, 0) + fresh
        ctx.progress.count("crawl2chat_tokens_total", fresh)
        if ended:
            ctx.progress.tell("trial_ended", trial=name)
        ctx.progress.advance(int(ended), fresh, note="" if ended else f"{name}: loss {report['validation_loss']:.3f}")

    run = SweepRun(ctx.recipe, trials, ctx.folder, ctx.inputs["tokenizer"].facts["vocab_size"], listen)
    run.run()
    results = run.results
    best = best_of_rows(results, run.sweep.finalists)
    if not best:
        raise StageError(
            f"all {len(results)} trials diverged or failed, the first: {results[0].error or results[0].state}",
            "lower tune.space.learning_rate, or read the trials' folders below tune/ray",
        )
    results = in_order(results, list(named_rows(ctx.recipe.tune)))
    paths = write_results(ctx.folder, results, run.curves, run.sweep)
    states = [result.state for result in results]
    counters: dict[str, float | int] = {
        "trials": sum(busy.trials for busy in run.sweep.busy),
        "steps": sum(busy.steps for busy in run.sweep.busy),
        "validation_loss": min(result.rank for result in results),
    }
    counters |= {state.replace(" ", "_"): states.count(state) for state in _STATES}
    if run.sweep.busy_share is not None:
        counters["busy_share"] = round(run.sweep.busy_share, 4)
    facts = {
        row: result.model_dump(mode="json", exclude={"seconds", "cpu_seconds", "error"}) for row, result in best.items()
    }
    return StageResult([file_entry(ctx.folder, path, len(results)) for path in paths], counters, {"best": facts})


TUNE = Stage("tune", inputs=("tokenizer", "shards"), config=_config, work=_work, check=_check)
