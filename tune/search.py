"""One phase of a sweep on Ray Tune: its trials, some at a time; continued after a killed driver.

    STAGE/ray/PHASE-DIGEST-N/    Ray Tune's own folder: its state, and a folder a trial with its reports; provenance.py
    STAGE/phases/PHASE-DIGEST.json    what came out, when the phase has ended

The digest is that of the trials, paths included: a search is continued only by the very same search. N counts from 0:
a search whose state cannot be read begins a new folder, with the trials that had not ended.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ray import tune
from ray.tune.experiment import Trial as RayTrial
from ray.tune.search.basic_variant import BasicVariantGenerator

from ..core.errors import InputError
from ..core.files import digest, write_json
from ..core.log import log
from ..core.settings_tune import Tune
from .nested import trainable_of
from .outcomes import Found, Outcome, found_of, outcome_of
from .provenance import begin_here, begun_here
from .results import Phase
from .schedulers import SCORE, drawn_space, scheduler, tpe
from .spent import has_ended
from .trial import Trial
from .watching import AllowanceStopper, Heard, Session, heard_by

TOGETHER = ("pbt", "hyperband")  # they compare trials that are all there; CPUs say how many run at a time


@dataclass(frozen=True)
class Search:
    """A phase: trials as they are, or `samples` of one trial whose values are drawn (by tpe, or a population's)."""

    phase: Phase
    part: str  # tells it from other searches of its phase
    trials: Sequence[Trial]
    scheduler: str = "none"
    reduction_factor: int = 2
    samples: int | None = None


def run_search(search: Search, settings: Tune, folder: Path, vocab_size: int, session: Session) -> Found:
    """Run the trials that have not ended yet. A trial that raises is a result, not an error.

    Reports go to `session` as they come. Where its allowance is used up trials end, and others are not started.
    """
    dumped = [trial.model_dump(mode="json") for trial in search.trials]
    drawn = settings.model_dump(mode="json", include={"space", "searcher", "samples"}) if search.samples else {}
    how = [search.scheduler, search.reduction_factor, search.samples]
    same = [trial.model_dump(mode="json", exclude={"place"}) for trial in search.trials]  # wherever they run
    name = f"{search.phase}{search.part}-{digest([same, drawn, how])[:16]}"
    done = folder / "phases" / f"{name}.json"
    if done.is_file():
        return Found.model_validate_json(done.read_text(encoding="utf-8"))
    earlier = sorted((folder / "ray").glob(f"{name}-*"), key=_number)
    outcomes = _whole(search, earlier)
    left = replace(search, trials=[trial for trial in search.trials if trial.name not in outcomes])
    if left.trials:
        _quiet(search.scheduler in TOGETHER)
        restored = _restored(search, earlier[-1]) if earlier else None
        following = _number(earlier[-1]) + 1 if earlier else 0
        tuner = restored or _tuner(left, settings, folder, f"{name}-{following}")
        with heard_by(session):
            fitted = tuner.fit()
        outcomes |= {Path(fitted[place].path).name: outcome_of(fitted[place]) for place in range(len(fitted))}
    found = found_of(list(outcomes.values()), dumped if search.samples is None else None, vocab_size)
    write_json(done, found.model_dump(mode="json"))
    return found


def _number(folder: Path) -> int:
    return int(folder.name.rpartition("-")[2])


def _whole(search: Search, earlier: Sequence[Path]) -> dict[str, Outcome]:
    """By name, trials that had gone to their end in earlier folders. Where values are drawn there are none: those of a
    search that begins anew are drawn anew.
    """
    if search.samples is not None:
        return {}
    return {
        trial.name: Outcome(folder / trial.name, {"trial": trial.model_dump(mode="json")})
        for folder in earlier
        for trial in search.trials
        if has_ended(folder / trial.name, len(trial.lengths), stopped=search.scheduler not in TOGETHER)
    }


def _tuner(search: Search, settings: Tune, folder: Path, name: str) -> tune.Tuner:
    begin_here(folder / "ray" / name)
    drawn = search.samples is not None
    first = search.trials[0]
    dumped = [trial.model_dump(mode="json") for trial in search.trials]
    by_tpe, together = drawn and search.scheduler != "pbt", search.scheduler in TOGETHER
    return tune.Tuner(
        trainable_of(first),
        param_space={"trial": dumped[0], "values": drawn_space(settings.space)}
        if drawn
        else {"trial": tune.grid_search(dumped)},
        tune_config=tune.TuneConfig(
            metric=SCORE,
            mode="min",
            scheduler=scheduler(search.scheduler, search.trials, settings, search.reduction_factor),
            search_alg=tpe(first.seed) if by_tpe else _variants(first.seed, together, settings),
            num_samples=search.samples or 1,
            max_concurrent_trials=settings.concurrent if by_tpe else None,
            reuse_actors=first.workers == 1,
            trial_name_creator=_drawn_name if drawn else _name,
            trial_dirname_creator=_drawn_name if drawn else _name,
        ),
        run_config=tune.RunConfig(
            name=name,
            storage_path=str(folder / "ray"),
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=int(first.workers == 1)),  # Ray Train repeats its own
            checkpoint_config=tune.CheckpointConfig(num_to_keep=1 if search.scheduler != "pbt" else 4),
            stop=AllowanceStopper(),
            callbacks=[Heard()],
        ),
    )


def _variants(seed: int, together: bool, settings: Tune) -> BasicVariantGenerator:
    return BasicVariantGenerator(max_concurrent=0 if together else settings.concurrent, random_state=seed)


def _quiet(together: bool) -> None:
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # the older output can be silent, the newer one cannot
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # else Ctrl-C gives half a search as if it were a whole one
    # 0 would write the state of all trials at each turn of the driver's loop, while they wait; see `ended_before`
    os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = "0" if together else "2"
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # a failed trial is a result, and has its error.txt


def _restored(search: Search, folder: Path) -> tune.Tuner | None:
    """The search that a killed driver left; None when there is none, or when the kill came while Ray wrote it down.

    HyperBand's brackets live in the driver alone, so that a search that was killed cannot go on in them. Raises
    InputError, before a pickle is read, for one that was not begun here.
    """
    if search.scheduler == "hyperband":
        return None
    if not begun_here(folder):
        raise InputError(
            f"the search in {folder} was begun by another user or elsewhere, and Ray's record of it can run any code",
            "remove that folder, to begin this phase of the search again",
        )
    try:
        states = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("experiment_state-*.json")]
        if states and tune.Tuner.can_restore(str(folder)):
            trainable = trainable_of(search.trials[0])
            return tune.Tuner.restore(str(folder), trainable=trainable, resume_unfinished=True)
        log.warning("tune: there is no record of the search in %s; trials that had not ended start again", folder)
    except (EOFError, ValueError, pickle.UnpicklingError) as error:
        log.warning("tune: the record of the search is cut (%s); trials that had not ended start again", error)
    return None


def _name(trial: RayTrial) -> str:
    return Trial.model_validate(trial.config["trial"]).name


def _drawn_name(trial: RayTrial) -> str:
    return f"{_name(trial)}-{trial.trial_id}"
