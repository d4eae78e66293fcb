"""One phase of a sweep on Ray Tune: its trials, some at a time; continued after a killed driver.

    STAGE/ray/PHASE-DIGEST/    Ray Tune's own folder: its state, and a folder a trial with its reports
    STAGE/phases/PHASE-DIGEST.json    what came out, when the phase has ended

The digest is that of the trials, paths included: a search is continued only by the very same search.
"""

from __future__ import annotations

import json
import logging
import math
import os
import pickle
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from ray import tune
from ray.tune.experiment import Trial as RayTrial

from ..core.files import digest, write_json
from ..core.log import log
from ..core.settings_tune import Tune
from ..model.config import ModelConfig
from .nested import trainable_of
from .results import Busy, Curves, Phase, Result, State
from .schedulers import drawn_space, scheduler, tpe
from .trial import Trial
from .watching import Allowance, AllowanceStopper, Heard, Listener, heard_by, seconds_used

TOGETHER = ("pbt", "hyperband")  # they compare trials that are all there; CPUs say how many run at a time
REPORTS = "result.json"  # Ray Tune's, a line a report


class Found(BaseModel):
    """What a phase found, in the order of its trials."""

    results: list[Result] = []
    curves: Curves = {}
    busy: Busy


@dataclass(frozen=True)
class Search:
    """A phase: trials as they are, or `samples` of one trial whose values are drawn (by tpe, or a population's)."""

    phase: Phase
    part: str  # tells it from other searches of its phase
    trials: Sequence[Trial]
    scheduler: str = "none"
    reduction_factor: int = 2
    samples: int | None = None


def run_search(
    search: Search, settings: Tune, folder: Path, vocab_size: int, allowance: Allowance, listener: Listener
) -> Found:
    """Run the trials that have not ended yet. A trial that raises is a result, not an error.

    listener(name, report, ended) is called here at every report of a trial and when it has ended. `allowance` is what
    the sweep's budget leaves; where it ends, trials end, and others are not started.
    """
    dumped = [trial.model_dump(mode="json") for trial in search.trials]
    drawn = settings.model_dump(mode="json", include={"space", "searcher", "samples"}) if search.samples else {}
    name = f"{search.phase}{search.part}-{digest([dumped, drawn, search.scheduler])[:16]}"
    done = folder / "phases" / f"{name}.json"
    if done.is_file():
        return Found.model_validate_json(done.read_text(encoding="utf-8"))
    tuner = _restored(folder / "ray" / name, trainable_of(search.trials[0])) or _tuner(search, settings, folder, name)
    _quiet()
    sessions = folder / "phases" / f"{name}.busy.jsonl"
    with heard_by(listener, allowance, sessions):
        fitted = tuner.fit()
    found = _found(search, settings, [fitted[place] for place in range(len(fitted))], vocab_size)
    found.busy.wall_seconds, found.busy.cpu_seconds = seconds_used(sessions)
    write_json(done, found.model_dump(mode="json"))
    return found


def _tuner(search: Search, settings: Tune, folder: Path, name: str) -> tune.Tuner:
    drawn = search.samples is not None
    first = search.trials[0]
    dumped = [trial.model_dump(mode="json") for trial in search.trials]
    by_tpe = drawn and search.scheduler != "pbt"
    return tune.Tuner(
        trainable_of(first),
        param_space={"trial": dumped[0], "values": drawn_space(settings.space)}
        if drawn
        else {"trial": tune.grid_search(dumped)},
        tune_config=tune.TuneConfig(
            metric="validation_loss",
            mode="min",
            scheduler=scheduler(search.scheduler, search.trials, settings, search.reduction_factor),
            search_alg=tpe(first.seed) if by_tpe else None,
            num_samples=search.samples or 1,
            max_concurrent_trials=None if search.scheduler in TOGETHER else settings.concurrent,
            reuse_actors=first.workers == 1,
            trial_name_creator=_drawn_name if drawn else _name,
            trial_dirname_creator=_drawn_name if drawn else _name,
        ),
        run_config=tune.RunConfig(
            name=name,
            storage_path=str(folder / "ray"),
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=1),
            checkpoint_config=tune.CheckpointConfig(num_to_keep=1 if search.scheduler != "pbt" else 4),
            stop=AllowanceStopper(),
            callbacks=[Heard()],
        ),
    )


def _quiet() -> None:
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # the older output can be silent, the newer one cannot
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # else Ctrl-C gives half a search as if it were a whole one
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # a failed trial is a result, and has its error.txt


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


def _name(trial: RayTrial) -> str:
    return Trial.model_validate(trial.config["trial"]).name


def _drawn_name(trial: RayTrial) -> str:
    return f"{_name(trial)}-{trial.trial_id}"


def _found(search: Search, settings: Tune, grid: Sequence[tune.Result], vocab_size: int) -> Found:
    by_name = {Path(result.path).name: result for result in grid}
    drawn = [] if search.samples is None else sorted(by_name)
    results: list[Result] = []
    for name, trial in [(trial.name, trial) for trial in search.trials] if not drawn else [(n, None) for n in drawn]:
        result = by_name.get(name)
        config = result.config if result else None
        known = trial or Trial.model_validate((config or {})["trial"]).with_values((config or {})["values"])
        results += _results(name, known, result, vocab_size)
    curves = {name: _curve(Path(result.path) / REPORTS) for name, result in by_name.items()}
    cores = settings.concurrent * search.trials[0].workers
    steps = sum(result.steps for result in results)
    busy = Busy(phase=search.phase, trials=len(by_name), steps=steps, cores=cores, wall_seconds=0, cpu_seconds=0)
    return Found(results=results, curves=curves, busy=busy)


def _results(name: str, trial: Trial, found: tune.Result | None, vocab_size: int) -> list[Result]:
    """One of a trial, and of a ladder's run one a length that was reached."""
    report = (found.metrics if found else None) or {}
    config = ModelConfig.from_settings(trial.model, vocab_size)
    common = {
        "name": name,
        "phase": trial.phase,
        "row": trial.row,
        "transfer": trial.model.transfer is not None,
        "seed": trial.seed,
        "values": trial.values,
        "learning_rate": trial.optimizer.learning_rate,
        "weight_decay": trial.optimizer.weight_decay,
        "batch_tokens": trial.tokens_per_step,
        "parameters": config.parameters(),
    }
    cost = config.flops_per_token()
    lengths = json.loads(report.get("lengths", "[]"))
    ended = [
        Result.model_validate(common | one | {"flops": cost * one["tokens"], "state": "finished"}) for one in lengths
    ]
    if len(ended) == len(trial.lengths):
        return ended
    state = _state(found, report)
    measured = state == "stopped"
    error = report.get("error") or (found and found.error and _first_line(found.error))
    last = {
        "steps": int(report.get("step", 0)),
        "tokens": int(report.get("tokens", 0)),
        "flops": cost * report.get("tokens", 0),
        "validation_loss": report["validation_loss"] if measured else None,
        "bits_per_byte": report["bits_per_byte"] if measured else None,
        "seconds": round(float(report.get("seconds", 0.0)), 2),
        "cpu_seconds": round(float(report.get("cpu_seconds", 0.0)), 2),
        "state": state,
        "error": str(error) if error else None,
    }
    return [*ended, Result.model_validate(common | last)]


def _state(found: tune.Result | None, report: dict[str, Any]) -> State:
    if found is not None and found.error is not None:
        return "failed"
    if not report:
        return "not started"
    return report["state"] if report["state"] in ("diverged", "failed") else "stopped"


def _curve(reports: Path) -> list[tuple[int, float]]:
    """(tokens, loss) of the run's reports; what a restart measured again stands once."""
    if not reports.is_file():
        return []
    found: dict[int, float] = {}
    for line in reports.read_text(encoding="utf-8").splitlines():
        report = json.loads(line)
        if not report["branch"] and report["validation_loss"] is not None and math.isfinite(report["validation_loss"]):
            found[report["at"]] = report["validation_loss"]
    return sorted(found.items())


def _first_line(error: Exception) -> str:
    """What the trial raised, without Ray's wrapping."""
    cause = getattr(error, "cause", None) or error
    return f"{type(cause).__name__}: {str(cause).strip().splitlines()[0]}"
