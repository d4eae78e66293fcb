"""Which trials a sweep has: the search's, those of a grid that ASHA is checked on, and the ladder's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from ..core.errors import RecipeError
from ..core.recipe import Recipe
from ..core.settings_optimizer import Optimizer
from ..core.settings_space import Range, Space
from ..core.settings_tune import draws_as_it_goes
from ..model.config import ModelConfig
from .results import Phase
from .rows import own_rates, parameters_of, row_model
from .trial import Trial, Values, with_rate


class Trials:
    """Makes the trials of a recipe's sweep, on these token shards."""

    def __init__(
        self, recipe: Recipe, tokenizer: Path, train: Sequence[Path], validation: Sequence[Path], folder: Path
    ) -> None:
        """`folder`: where Ray Tune's files go."""
        self.recipe, self.settings = recipe, recipe.tune
        self._paths = {
            "folder": str(folder),
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
        return [with_values(base, values, "tune.space") for base in bases for values in self._values(base.row)]

    def _values(self, row: str) -> list[Values]:
        """Of a row's trials: the same with transfer and without, drawn or not, so that the two can be compared."""
        space = self._space(row)
        if self.settings.searcher == "grid":
            return _points(space)
        random = np.random.default_rng([self.recipe.seed, self.settings.rows.index(row)])
        return _drawn(space, self.settings.samples, random)

    def count(self) -> int:
        """How many there are without grids that grow and without finalists."""
        settings = self.settings
        searched = len(self.search()) * (settings.samples if draws_as_it_goes(settings) else 1)
        checked = 2 * len(self.asha_check("grid")) if settings.asha_check else 0
        return searched + checked + (len(settings.ladder.rows) if settings.ladder else 0)

    def asha_check(self, phase: Phase) -> list[Trial]:
        """The grid of `tune.asha_check`, in an order that favours nothing."""
        check = self.settings.asha_check
        assert check is not None
        base = self._base(check.row, phase, transfer=True)
        every = check.report_every or self.settings.report_every
        reported = {"lengths": base.lengths[-1:], "report_tokens": every * self.settings.batch * base.model.context}
        base = base.model_copy(update=reported)
        trials = [with_values(base, values, "tune.asha_check.space") for values in _points(check.space)]
        order = np.random.default_rng(self.recipe.seed).permutation(len(trials))
        return [trials[place] for place in order]

    def ladder(self, rates: dict[str, float]) -> list[Trial]:
        """A run a row, with the rate that `rates` has for it, a decay at every length."""
        ladder = self.settings.ladder
        assert ladder is not None
        trials, cost = [], {}
        for row in ladder.rows:
            parameters = parameters_of(row, self.recipe)
            lengths = ladder.lengths(parameters)
            cost[row] = parameters * max(lengths, default=0)
            base = self._base(row, "ladder", transfer=True)
            optimizer = ladder_optimizer(self.recipe, rates[row])
            trials.append(base.model_copy(update={"lengths": lengths, "optimizer": optimizer}))
        return sorted(trials, key=lambda trial: -cost[trial.row])

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
            checkpoint_seconds=0.0 if phase == "search" and settings.scheduler in ("hyperband", "pbt") else 30.0,
            **self._workers(),
        )

    def _workers(self) -> dict[str, Any]:
        """Where a trial runs. What does not matter for one worker on a CPU is left at its default."""
        resources, workers = self.recipe.resources, self.settings.workers_per_trial
        found: dict[str, Any] = {"gpus": resources.gpus_per_worker, "cpus": resources.cpus_per_worker}
        found |= {"place": resources.train_place} if resources.train_place else {}
        if workers > 1:
            found |= {"workers": workers, "parallel": resources.parallel}
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


def _drawn(space: Space, samples: int, random: np.random.Generator) -> list[Values]:
    """Random search (Bergstra & Bengio 2012). What is drawn twice is tried once: the trials would be the same."""
    found: list[Values] = []
    for _ in range(samples):
        values = {key: _draw(key, values, random) for key, values in space.items()}
        if values not in found:
            found.append(values)
    return found


def _draw(key: str, values: list[float | str] | Range, random: np.random.Generator) -> float | str:
    if not isinstance(values, Range):
        return values[int(random.integers(len(values)))]
    if values.log:
        value = np.exp(random.uniform(np.log(values.low), np.log(values.high)))
    else:
        value = random.uniform(values.low, values.high)
    return round(value) if key == "batch" else float(f"{value:.4g}")


def with_values(base: Trial, values: Values, where: str) -> Trial:
    """The trial with these values. Raises RecipeError naming the key below `where`, and its value."""
    try:
        return base.with_values(values)
    except ValidationError as error:
        wrong = error.errors()[0]
        parts = [str(part) for part in wrong["loc"]]
        key = next((key for key in (".".join(parts), *parts) if key in values), None)
        said, _, fix = wrong["msg"].removeprefix("Value error, ").rpartition("; ")
        if key is None:  # they do not fit together
            told = ", ".join(f"{key} {value}" for key, value in values.items())
            raise RecipeError(f"{where}: with {told}: {said or fix}", fix if said else f"correct {where}") from error
        raise RecipeError(f"{where}: {key} is {values[key]!r}: {said or fix}", f"correct {where}.{key}") from error


def ladder_optimizer(recipe: Recipe, learning_rate: float) -> Optimizer:
    """The optimizer of the ladder's runs, and of the run that they forecast: warm-up, stable, decay."""
    assert recipe.tune.ladder is not None
    own = {"schedule": "wsd", "decay_share": recipe.tune.ladder.decay_share}
    optimizer = Optimizer.model_validate(recipe.train.optimizer.model_dump(exclude_unset=True) | own)
    return with_rate(optimizer, learning_rate)
