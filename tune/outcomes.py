"""From what Ray Tune holds of trials, or their files, to results and curves."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from ray import tune

from ..model.config import ModelConfig
from .results import Curves, Result, State
from .spent import reports
from .trial import Trial


class Found(BaseModel):
    """What a phase found, in the order of its trials."""

    results: list[Result] = []
    curves: Curves = {}


@dataclass(frozen=True)
class Outcome:
    """A trial's folder with its reports, its configuration, and what it raised."""

    folder: Path
    config: dict[str, Any]
    error: Exception | None = None


def outcome_of(found: tune.Result) -> Outcome:
    return Outcome(Path(found.path), found.config or {}, found.error)


def found_of(outcomes: Sequence[Outcome], trials: Sequence[dict[str, Any]] | None, vocab_size: int) -> Found:
    """`trials`: those that were to run, in their order; None where they were drawn."""
    by_name = {one.folder.name: one for one in outcomes}
    if trials is None:
        known = {name: _trial(one.config) for name, one in sorted(by_name.items())}
    else:
        planned = [_trial({"trial": trial}) for trial in trials]
        known = {trial.name: trial for trial in planned}
    results = [
        result for name, trial in known.items() for result in _results(name, trial, by_name.get(name), vocab_size)
    ]
    return Found(results=results, curves={name: _curve(reports(one.folder)) for name, one in by_name.items()})


def _trial(config: dict[str, Any]) -> Trial:
    return Trial.model_validate(config["trial"]).with_values(config.get("values", {}))


def _results(name: str, trial: Trial, found: Outcome | None, vocab_size: int) -> list[Result]:
    """One of a trial, and of a ladder's run one a length that was reached."""
    report = (reports(found.folder) or [{}])[-1] if found else {}
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
        Result.model_validate(common | one | {"length": length, "flops": cost * one["tokens"], "state": "finished"})
        for length, one in zip(trial.lengths, lengths, strict=False)
    ]
    if len(ended) == len(trial.lengths):
        return ended
    state = _state(found, report)
    measured = state == "stopped"
    error = report.get("error") or (found and found.error and first_line(found.error))
    last = {
        "length": trial.lengths[len(ended)],
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


def _state(found: Outcome | None, report: Mapping[str, Any]) -> State:
    if found is not None and found.error is not None:
        return "failed"
    if not report:
        return "not started"
    return report["state"] if report["state"] in ("diverged", "failed") else "stopped"


def _curve(told: Sequence[Mapping[str, Any]]) -> list[tuple[int, float]]:
    """(tokens, loss) of the run's reports; what a restart measured again stands once."""
    found = {
        report["at"]: report["validation_loss"]
        for report in told
        if not report["branch"] and report["validation_loss"] is not None and math.isfinite(report["validation_loss"])
    }
    return sorted(found.items())


def first_line(error: BaseException) -> str:
    """What the trial raised, without Ray's wrapping."""
    cause = getattr(error, "cause", None) or error
    return ": ".join([type(cause).__name__, *str(cause).strip().splitlines()[:1]])
