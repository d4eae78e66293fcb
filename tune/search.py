"""The search: trials on Ray Tune, some at a time, ASHA within each row; continued after a killed driver.

    STAGE/ray/search-DIGEST/    Ray Tune's own folder: its state, and a folder a trial with its reports

The digest is that of the trials, paths included: a search is continued only by the very same search.
"""

from __future__ import annotations

import logging
import math
import os
import pickle
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from ray import tune
from ray.tune.experiment import Trial as RayTrial
from ray.tune.schedulers import ASHAScheduler

from ..core.files import digest
from ..core.log import log
from ..core.settings_tune import Tune
from .asha import AshaPerRow
from .results import Result
from .trial import Trial, run_trial

Listener = Callable[[str, dict[str, Any], bool], None]


def search(trials: Sequence[Trial], settings: Tune, folder: Path, vocab_size: int, listener: Listener) -> list[Result]:
    """Run the trials that have not ended yet, and give every trial's result in the order of `trials`.

    listener(name, report, ended) is called here at every report of a trial and when it has ended. A trial that raises
    is a result, not an error. Trials that ran when a driver was killed begin anew: they take no checkpoints.
    """
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # the older output can be silent, the newer one cannot
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # else Ctrl-C gives half a search as if it were a whole one
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # a failed trial is a result, and has its error.txt
    dumped = [trial.model_dump(mode="json") for trial in trials]
    trainable = tune.with_resources(run_trial, {"cpu": 1})
    storage, name = folder / "ray", f"search-{digest(dumped)[:16]}"
    tuner = _restored(storage / name, trainable)
    if tuner is None:
        tuner = tune.Tuner(
            trainable,
            param_space={"trial": tune.grid_search(dumped)},
            tune_config=tune.TuneConfig(
                metric="validation_loss",
                mode="min",
                scheduler=_scheduler(trials, settings),
                max_concurrent_trials=settings.concurrent,
                reuse_actors=True,
                trial_name_creator=_name,
                trial_dirname_creator=_name,
            ),
            run_config=tune.RunConfig(
                name=name,
                storage_path=str(storage),
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=1),
                callbacks=[_Reports()],
            ),
        )
    with _heard_by(listener):
        grid = tuner.fit()
    by_name = {Trial.model_validate((result.config or {})["trial"]).name: result for result in grid}
    return [_result(trial, by_name[trial.name], vocab_size) for trial in trials]


def _restored(folder: Path, trainable: Any) -> tune.Tuner | None:
    """The search that a killed driver left; None when there is none, or when the kill came while Ray wrote it down."""
    if not tune.Tuner.can_restore(str(folder)):
        return None
    try:
        return tune.Tuner.restore(str(folder), trainable=trainable, resume_unfinished=True)
    except (EOFError, pickle.UnpicklingError) as error:
        log.warning("tune: the record of the search is cut (%s); it starts again", error)
        shutil.rmtree(folder)
        return None


def _scheduler(trials: Sequence[Trial], settings: Tune) -> AshaPerRow:
    """ASHA for each row, with rungs after report_every · reduction_factor^k steps, counted in tokens."""
    return AshaPerRow(
        {
            trial.row: ASHAScheduler(
                time_attr="tokens",
                grace_period=min(trial.report_every, trial.steps) * trial.tokens_per_step,
                max_t=trial.steps * trial.tokens_per_step,
                reduction_factor=settings.reduction_factor,
            )
            for trial in trials
        }
    )


def _name(trial: RayTrial) -> str:
    return Trial.model_validate(trial.config["trial"]).name


def _result(trial: Trial, found: tune.Result, vocab_size: int) -> Result:
    report = found.metrics or {}
    steps = int(report.get("step", 0))
    if found.error is not None:
        state = "failed"
    elif report["diverged"]:
        state = "diverged"
    else:
        state = "finished" if steps == trial.steps else "stopped"
    measured = state in ("finished", "stopped")
    return Result(
        row=trial.row,
        learning_rate=trial.optimizer.learning_rate,
        parameters=trial.shape.config(vocab_size).parameters(),
        steps=steps,
        tokens=int(report.get("tokens", 0)),
        validation_loss=report["validation_loss"] if measured else None,
        bits_per_byte=report["bits_per_byte"] if measured else None,
        seconds=round(float(report.get("time_total_s", math.nan)), 2) if report else 0.0,
        state=state,
        error=_first_line(found.error) if found.error is not None else None,
    )


def _first_line(error: Exception) -> str:
    """What the trial raised, without Ray's wrapping."""
    cause = getattr(error, "cause", None) or error
    return f"{type(cause).__name__}: {str(cause).strip().splitlines()[0]}"


class _Reports(tune.Callback):
    """Hands reports on. A class variable, because Ray Tune pickles its callbacks, and a restored search brings them."""

    listener: ClassVar[Listener | None] = None

    def on_trial_result(
        self, iteration: int, trials: list[RayTrial], trial: RayTrial, result: dict[str, Any], **info: Any
    ) -> None:
        if _Reports.listener is not None:
            _Reports.listener(_name(trial), result, False)

    def on_trial_complete(self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any) -> None:
        if _Reports.listener is not None:
            _Reports.listener(_name(trial), {}, True)

    on_trial_error = on_trial_complete


@contextmanager
def _heard_by(listener: Listener) -> Iterator[None]:
    _Reports.listener = listener
    try:
        yield
    finally:
        _Reports.listener = None
