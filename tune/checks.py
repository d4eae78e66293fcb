"""What a sweep is checked for before anything runs: every trial that it can have is made, on no data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ..core.errors import RecipeError
from ..core.recipe import Recipe
from ..core.section import misfit
from ..core.settings_space import MIXED, Range, Space
from ..core.settings_tune import Tune, draws_as_it_goes
from ..model.config import ModelConfig
from .plan import Trials, with_values
from .rows import parameters_of, row_model, steps_of
from .trial import Trial, Values

CONSTANTS = 5
LEAST = 3  # different sizes, and lengths, without which an exponent of the law is open


def check_sweep(recipe: Recipe) -> None:
    """Raise RecipeError for the first row, value or setting of the sweep that does not work."""
    settings, nowhere = recipe.tune, Path()
    trials = Trials(recipe, nowhere, [], [], nowhere)
    _once("tune.rows", settings.rows)
    found = trials.search()
    _check_names("tune.space", found)
    if draws_as_it_goes(settings):
        found += _extremes(found[0], settings.space)
    _check_lengths(found)
    if settings.asha_check:
        grid = trials.asha_check("grid")
        _check_names("tune.asha_check.space", grid)
        found += grid
    if settings.ladder:
        _once("tune.ladder.rows", settings.ladder.rows)
        ladder = trials.ladder(dict.fromkeys(settings.ladder.rows, 1e-3))
        _check_ladder(recipe, ladder)
        if settings.target:
            _check_target(recipe, ladder)
        found += ladder
    _check_rungs(settings, trials)
    for trial in found:
        _divides("tune.workers_per_trial", settings.workers_per_trial, trial.batch)
    _check_mixture(recipe)
    if settings.workers_per_trial > 1 and recipe.resources.parallel.strategy in ("single", "deepspeed"):
        raise RecipeError(
            f"resources.parallel.strategy is {recipe.resources.parallel.strategy}, and trials have "
            f"{settings.workers_per_trial} workers",
            "set resources.parallel.strategy to fsdp or ddp for a sweep",
        )
    _check_budget(recipe, rung=min(trial.report_tokens for trial in found))


def _check_rungs(settings: Tune, trials: Trials) -> None:
    """What stops trials early needs a report before their end."""
    looked = [("tune", settings.scheduler, trials.search()[0])]
    if settings.asha_check:
        looked.append(("tune.asha_check", "asha", trials.asha_check("asha")[0]))
    for where, kind, trial in looked:
        if kind in ("asha", "median", "hyperband") and trial.report_tokens >= trial.lengths[-1]:
            raise RecipeError(
                f"{where}.report_every is {trial.report_every} steps, and a trial has {trial.steps[-1]}: there is "
                f"no rung before its end at which {kind} could stop it",
                f"lower {where}.report_every, or set tune.scheduler to none"
                if where == "tune"
                else f"lower {where}.report_every",
            )


def _once(name: str, rows: Sequence[str]) -> None:
    if len(set(rows)) < len(rows):
        raise RecipeError(f"{name} is {rows}: a row stands there twice", "name each once")


def _check_names(where: str, trials: Sequence[Trial]) -> None:
    """A trial's name is its folder's."""
    name, times = Counter(trial.name for trial in trials).most_common(1)[0]
    if times > 1:
        raise RecipeError(
            f"{where} has {times} trials of the name {name}, which would share a folder",
            "give values that differ in their first ten digits, and rows names that do not end like another's values",
        )


def _extremes(base: Trial, space: Space) -> list[Trial]:
    """Every listed value and both ends of every range, with each schedule; the other values are the last of theirs."""
    ends = {key: [one.low, one.high] if isinstance(one, Range) else one for key, one in space.items()}
    others: Values = {key: values[-1] for key, values in ends.items()}
    schedules: list[Values] = [{"schedule": name} for name in ends.get("schedule", [])] or [{}]
    return [
        with_values(base, {**others, key: value, **schedule}, "tune.space")
        for schedule in schedules
        for key, values in ends.items()
        for value in values
    ]


def _check_lengths(trials: Sequence[Trial]) -> None:
    several = (trial for trial in trials if len(trial.lengths) > 1 and trial.optimizer.schedule != "wsd")
    if wrong := next(several, None):
        raise RecipeError(
            f"tune.tokens has several lengths, and the schedule is {wrong.optimizer.schedule}, which has one",
            "set train.optimizer.schedule to wsd, or give one length",
        )


def _divides(name: str, workers: int, batch: int) -> None:
    if wrong := misfit(name, workers, "tune.batch", batch):
        raise RecipeError(*wrong)


def _check_mixture(recipe: Recipe) -> None:
    """Weights that are searched, and fixed ones of the section mixture, name every source."""
    mixed = {key.removeprefix(MIXED) for key in recipe.tune.space if key.startswith(MIXED)}
    fixed = set(recipe.mixture.parts) if recipe.mixture else set()
    sources = {source.name for source in recipe.sources}
    if mixed and (wrong := (mixed | fixed) ^ sources):
        raise RecipeError(
            f"tune.space has weights of the sources {sorted(mixed)}, but the recipe's are {sorted(sources)}",
            f"see to {min(wrong)}: every source needs a {MIXED}SOURCE, or a fixed weight in the section mixture",
        )


def _check_ladder(recipe: Recipe, runs: Sequence[Trial]) -> None:
    """Sizes and lengths differ, enough of them; else the fit would fail after all the compute."""
    points, lengths = sum(len(run.lengths) for run in runs), {length for run in runs for length in run.lengths}
    if bare := next((run.row for run in runs if not run.lengths), None):
        raise RecipeError(
            f"tune.ladder.max_flops leaves row {bare} no length", "raise it, or leave the row out of tune.ladder.rows"
        )
    if len(runs) < LEAST or len(lengths) < LEAST or points <= CONSTANTS:
        raise RecipeError(
            f"tune.ladder has {len(runs)} rows, {len(lengths)} lengths and {points} points; the law of the loss needs "
            f"{LEAST} rows and lengths, and more points than its {CONSTANTS} constants",
            "add rows to tune.ladder.rows, or lengths",
        )
    sizes: dict[int, str] = {}
    for run in runs:
        size = parameters_of(run.row, recipe)
        if size in sizes:
            raise RecipeError(
                f"tune.ladder.rows has {sizes[size]} and {run.row}, both of {size:,} parameters, which are one size "
                "to the law of the loss",
                "name rows of different sizes",
            )
        sizes[size] = run.row
        if len(set(run.steps)) < len(run.steps):
            raise RecipeError(
                f"tune.ladder has lengths of {run.lengths} tokens for row {run.row}, which are {run.steps} steps of "
                f"{run.tokens_per_step}: two lengths are the same run",
                f"give lengths that lie {run.tokens_per_step} tokens apart or more",
            )


def _check_target(recipe: Recipe, runs: Sequence[Trial]) -> None:
    """The target is held out of the fit, and beyond it."""
    settings, target = recipe.tune, recipe.tune.target
    assert target is not None
    config = _config(recipe, target.row)
    _divides("resources.train_workers", recipe.resources.train_workers, settings.batch)
    steps = steps_of(target.tokens, settings, config.context)
    if any(run.row == target.row and steps in run.steps for run in runs):
        raise RecipeError(
            f"tune.target is {target.row} with {target.tokens:,} tokens, a run of the ladder: its loss would be in "
            "the fit that forecasts it",
            "raise tune.target.tokens, or name a larger row",
        )
    cost = float(config.flops_per_token() * steps * settings.batch * config.context)
    costs = {
        run.row: float(_config(recipe, run.row).flops_per_token() * run.steps[-1] * run.tokens_per_step) for run in runs
    }
    largest = max(costs, key=lambda row: costs[row])
    if cost <= costs[largest]:
        raise RecipeError(
            f"tune.target has {cost:.3g} FLOPs, no more than the ladder's largest run ({largest}, "
            f"{costs[largest]:.3g}): there is nothing to extrapolate",
            "raise tune.target.tokens or name a larger row, better for ten times the ladder's FLOPs",
        )


def _config(recipe: Recipe, row: str) -> ModelConfig:
    """A row as a model, with the vocabulary that the recipe asks for."""
    return ModelConfig.from_settings(row_model(row, recipe.tune), recipe.tokenizer.vocab_size)


def _check_budget(recipe: Recipe, rung: int) -> None:
    budget, ladder = recipe.tune.budget, recipe.tune.ladder
    if budget.tokens is not None and budget.tokens < rung:
        raise RecipeError(
            f"tune.budget.tokens is {budget.tokens}, less than the {rung} tokens of one trial's first rung",
            "raise it, or lower tune.report_every",
        )
    if ladder is not None and budget.trials is not None and budget.trials <= len(ladder.rows):
        raise RecipeError(
            f"tune.budget.trials is {budget.trials}, and the ladder alone has {len(ladder.rows)}: none is left to "
            "search with",
            f"set tune.budget.trials to {len(ladder.rows) + 1} or more, or drop rows of the ladder",
        )
