"""Which trials a sweep has: the search's, those of a grid that ASHA is checked on, and the ladder's."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from ..core.errors import RecipeError
from ..core.recipe import Recipe
from ..core.section import misfit
from ..core.settings_optimizer import Optimizer
from ..core.settings_tune import MIXED, Range, Space, Tune, draws_as_it_goes
from ..model.config import ModelConfig
from .results import Phase
from .rows import own_rates, row_model
from .trial import Trial, Values

LEAST = 3  # different sizes, and lengths, without which an exponent of the law is open


class Trials:
    """Makes the trials of a recipe's sweep, on these token shards."""

    def __init__(
        self, recipe: Recipe, tokenizer: Path, train: Sequence[Path], validation: Sequence[Path], folder: Path
    ) -> None:
        """`folder`: where trials of several workers keep their checkpoints."""
        self.recipe, self.settings, self._folder = recipe, recipe.tune, str(folder)
        self._paths = {
            "tokenizer": str(tokenizer),
            "train_paths": [str(path) for path in train],
            "validation_paths": [str(path) for path in validation],
        }

    def search(self) -> list[Trial]:
        """Every row's, with transfer and without where the two are compared; one of each row where values are drawn."""
        settings = self.settings
        compare = settings.transfer is not None and settings.transfer.compare
        bases = [
            self._base(row, "search", transfer)
            for row in self._largest_first(settings.rows)
            for transfer in ((True, False) if compare else (True,))
        ]
        if draws_as_it_goes(settings):
            return bases
        space = {base.row: self._space(base.row) for base in bases}
        random, grid = np.random.default_rng(self.recipe.seed), settings.searcher == "grid"
        return [
            _with(base, values, "tune.space")
            for base in bases
            for values in (_points if grid else partial(_drawn, settings.samples, random))(space[base.row])
        ]

    def asha_check(self, phase: Phase) -> list[Trial]:
        """The grid of `tune.asha_check`, in an order that favours nothing."""
        check = self.settings.asha_check
        assert check is not None
        base = self._base(check.row, phase, transfer=True)
        base = base.model_copy(update={"lengths": base.lengths[-1:]})
        trials = [_with(base, values, "tune.asha_check.space") for values in _points(check.space)]
        order = np.random.default_rng(self.recipe.seed).permutation(len(trials))
        return [trials[place] for place in order]

    def ladder(self, rates: dict[str, float]) -> list[Trial]:
        """A run a row, with the rate that `rates` has for it, a decay at every length."""
        ladder = self.settings.ladder
        assert ladder is not None
        trials = []
        for row in self._largest_first(ladder.rows):
            base = self._base(row, "ladder", transfer=True)
            optimizer = ladder_optimizer(self.recipe, rates[row])
            trials.append(base.model_copy(update={"lengths": ladder.tokens, "optimizer": optimizer}))
        return trials

    def _base(self, row: str, phase: Phase, transfer: bool) -> Trial:
        settings = self.settings
        model = row_model(row, settings, transfer)
        step = settings.batch * model.context
        return Trial(
            row=row,
            phase=phase,
            model=model,
            **self._paths,  # type: ignore[arg-type]
            validation_rows=settings.validation_rows,
            lengths=settings.tokens
            if isinstance(settings.tokens, list)
            else [settings.tokens or settings.steps * step],
            report_tokens=settings.report_every * step,
            batch=settings.batch,
            warmup_share=settings.warmup_share,
            precision=self.recipe.train.precision,
            seed=self.recipe.seed,
            optimizer=self.recipe.train.optimizer,
            mixture=self.recipe.mixture,
            document_mask=self.recipe.train.document_mask,
            checkpoint_seconds=0.0 if settings.scheduler in ("hyperband", "pbt") else 30.0,
            **self._workers(),
        )

    def _workers(self) -> dict[str, Any]:
        """Where a trial runs. What does not matter for one worker on a CPU is left at its default."""
        resources, workers = self.recipe.resources, self.settings.workers_per_trial
        found: dict[str, Any] = {"gpus": resources.gpus_per_worker, "cpus": resources.cpus_per_worker}
        if workers > 1:
            found |= {"workers": workers, "folder": self._folder, "parallel": resources.parallel}
        return found

    def _space(self, row: str) -> Space:
        """The recipe's, and the row's own learning rates in the table where it names none: the likeliest first."""
        if "learning_rate" in self.settings.space:
            return self.settings.space
        own = own_rates(self.settings)[row]
        return {"learning_rate": [own, float(f"{own / 3:.2g}"), float(f"{own * 3:.2g}")], **self.settings.space}

    def _largest_first(self, rows: Sequence[str]) -> list[str]:
        """So that no long trial is left over at the end."""
        sizes = {row: ModelConfig.from_settings(row_model(row, self.settings), 1).parameters() for row in rows}
        return sorted(rows, key=lambda row: -sizes[row])


def _points(space: Space) -> list[Values]:
    """All combinations of a space of lists."""
    found: list[Values] = [{}]
    for key, values in space.items():
        assert not isinstance(values, Range), "the recipe was checked"
        found = [{**point, key: value} for point in found for value in values]
    return found


def _drawn(samples: int, random: np.random.Generator, space: Space) -> list[Values]:
    """Random search (Bergstra & Bengio 2012)."""
    return [{key: _draw(values, random) for key, values in space.items()} for _ in range(samples)]


def _draw(values: list[float | str] | Range, random: np.random.Generator) -> float | str:
    if not isinstance(values, Range):
        return values[int(random.integers(len(values)))]
    if values.log:
        return float(f"{np.exp(random.uniform(np.log(values.low), np.log(values.high))):.4g}")
    return float(f"{random.uniform(values.low, values.high):.4g}")


def _with(base: Trial, values: Values, where: str) -> Trial:
    try:
        return base.with_values(values)
    except ValidationError as error:
        wrong = error.errors()[0]
        key = ".".join(map(str, wrong["loc"])) or next(iter(values))
        raise RecipeError(f"{where}: {key} is {values.get(key)!r}: {wrong['msg']}", f"correct {where}.{key}") from error


def check_sweep(recipe: Recipe) -> None:
    """Raise RecipeError for the first row, value or setting of the sweep that does not work."""
    settings, nowhere = recipe.tune, Path()
    trials = Trials(recipe, nowhere, [], [], nowhere)
    if len(set(settings.rows)) < len(settings.rows):
        raise RecipeError(f"tune.rows is {settings.rows}: a row stands there twice", "name each once")
    found = trials.search()
    if several := next(
        (trial for trial in found if len(trial.lengths) > 1 and trial.optimizer.schedule != "wsd"), None
    ):
        raise RecipeError(
            f"tune.tokens has several lengths, and the schedule is {several.optimizer.schedule}, which has one",
            "set train.optimizer.schedule to wsd, or give one length",
        )
    if settings.asha_check:
        found += trials.asha_check("grid")
    if settings.ladder:
        found += trials.ladder(dict.fromkeys(settings.ladder.rows, 1e-3))
        _check_ladder(settings)
    if settings.target:
        row_model(settings.target.row, settings)
        _divides("resources.train_workers", recipe.resources.train_workers, settings.batch)
    for trial in found:
        _divides("tune.workers_per_trial", settings.workers_per_trial, trial.batch)
    _check_mixture(recipe)
    if settings.workers_per_trial > 1 and recipe.resources.parallel.strategy in ("single", "deepspeed"):
        raise RecipeError(
            f"resources.parallel.strategy is {recipe.resources.parallel.strategy}, and trials have "
            f"{settings.workers_per_trial} workers",
            "set resources.parallel.strategy to fsdp or ddp for a sweep",
        )
    rung = min(trial.report_tokens for trial in found)
    if settings.budget.tokens is not None and settings.budget.tokens < rung:
        raise RecipeError(
            f"tune.budget.tokens is {settings.budget.tokens}, less than the {rung} tokens of one trial's first rung",
            "raise it, or lower tune.report_every",
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


def _check_ladder(settings: Tune) -> None:
    ladder = settings.ladder
    assert ladder is not None
    rows, lengths = set(ladder.rows), ladder.tokens
    if len(rows) < LEAST or len(lengths) < LEAST:
        raise RecipeError(
            f"tune.ladder has {len(rows)} rows and {len(lengths)} lengths; the law of the loss needs {LEAST} of each",
            "add rows to tune.ladder.rows, or lengths to tune.ladder.tokens",
        )


def ladder_optimizer(recipe: Recipe, learning_rate: float) -> Optimizer:
    """The optimizer of the ladder's runs, and of the run that they forecast: warm-up, stable, decay."""
    assert recipe.tune.ladder is not None
    own = {"learning_rate": learning_rate, "schedule": "wsd", "decay_share": recipe.tune.ladder.decay_share}
    return Optimizer.model_validate(recipe.train.optimizer.model_dump(exclude_unset=True) | own)
