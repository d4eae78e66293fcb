"""Which trials go on, and which values come next: the recipe's words as Ray Tune's schedulers and searchers.

A scheduler's clock is the number of tokens trained, which a restored search continues; Ray's own counts would begin at
0 again, and compare trials of unlike batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from ray import tune
from ray.tune.schedulers import (
    ASHAScheduler,
    FIFOScheduler,
    HyperBandScheduler,
    MedianStoppingRule,
    PopulationBasedTraining,
    TrialScheduler,
)
from ray.tune.search import Searcher

from ..core.errors import RecipeError
from ..core.settings_tune import Range, Space, Tune
from .asha import AshaPerRow, group_of
from .trial import Trial

CLOCK = "tokens"
SCORE = "score"


def scheduler(kind: str, trials: Sequence[Trial], settings: Tune, reduction_factor: int) -> TrialScheduler:
    """The scheduler of one run of Ray Tune. hyperband and pbt see trials of one row only."""
    if kind == "asha":
        return AshaPerRow(
            {
                group_of({"trial": trial.model_dump()}): ASHAScheduler(
                    time_attr=CLOCK,
                    grace_period=min(trial.report_tokens, trial.lengths[-1]),
                    max_t=trial.lengths[-1],
                    reduction_factor=reduction_factor,
                )
                for trial in trials
            }
        )
    rung, longest = trials[0].report_tokens, trials[0].lengths[-1]
    if kind == "hyperband":
        # its brackets halve the clock down to 1, so that this has to count reports
        return HyperBandScheduler(time_attr="rung", max_t=-(-longest // rung), reduction_factor=reduction_factor)
    if kind == "median":
        return MedianStoppingRule(time_attr=CLOCK, grace_period=rung, min_samples_required=2)
    if kind == "pbt":
        return PopulationBasedTraining(
            time_attr=CLOCK,
            perturbation_interval=rung,
            hyperparam_mutations={"values": {key: _changes(values) for key, values in settings.space.items()}},
            quantile_fraction=0.25,
            custom_explore_fn=partial(_within, settings.space),
        )
    return FIFOScheduler()


def drawn_space(space: Space) -> dict[str, Any]:
    """Ray Tune's distributions, for what draws its values."""
    return {key: _drawn(values) for key, values in space.items()}


def tpe(seed: int) -> Searcher:
    """Optuna's tree-structured Parzen estimator (Bergstra et al. 2011). Raises RecipeError without Optuna."""
    try:
        from optuna.samplers import TPESampler
        from ray.tune.search.optuna import OptunaSearch
    except ImportError as error:
        raise RecipeError(
            "tune.searcher is tpe, but optuna is not installed", "install crawl2chat[tpe], or set tune.searcher=random"
        ) from error
    return OptunaSearch(metric=SCORE, mode="min", sampler=TPESampler(seed=seed, n_startup_trials=6))


def _changes(values: Any) -> Any:
    """What a population may change a value to: the neighbour in a list, or a fifth more or less."""
    return _drawn(values) if isinstance(values, Range) else list(values)


def _within(space: Space, config: dict[str, Any]) -> dict[str, Any]:
    """Ray multiplies by 0.8 or 1.2 whatever the range."""
    for key, values in space.items():
        if isinstance(values, Range):
            config["values"][key] = min(max(config["values"][key], values.low), values.high)
    return config


def _drawn(values: Any) -> Any:
    if isinstance(values, Range):
        return (tune.loguniform if values.log else tune.uniform)(values.low, values.high)
    return tune.choice(list(values))
