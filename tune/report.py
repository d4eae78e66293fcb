"""What a sweep's report is made from: the files of RUN/tune, RUN/forecast and RUN/verify, and what is wrong with them.

A run needs a finished sweep. Without a target it has no forecast, before `tune verify` no verification: both are None.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..core.errors import Crawl2ChatError, InputError
from ..core.manifest import Manifest
from ..core.run import Run
from ..core.settings_model import Model
from ..core.settings_tune import Tune
from ..core.stage import plan
from .results import Curves, Result, Sweep, read_curves, read_results, read_sweep
from .rows import named_rows, row_model
from .tune_stage import TUNE

FORECAST = ("forecast", "forecast.json")
VERIFICATION = ("verify", "verification.json")
Record = dict[str, Any]


@dataclass
class Report:
    """All that is known of a sweep. `warnings` are for its reader: the sweep's and the forecast's marks among them."""

    run: Run
    manifest: Manifest
    results: list[Result]
    curves: Curves
    sweep: Sweep
    forecast: Record | None = None
    verification: Record | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def settings(self) -> Tune:
        return self.run.recipe.tune

    @property
    def vocab_size(self) -> int | None:
        """Of the run's tokenizer; None when its manifest is gone."""
        tokenizer = self.run.manifest("tokenizer")
        return tokenizer.facts.get("vocab_size") if tokenizer else None

    def rows(self) -> dict[str, Model]:
        """The shapes of all rows that the recipe's sweep names, the target's last."""
        target = self.settings.target
        held_out = {target.row: row_model(target.row, self.settings, transfer=False)} if target else {}
        return named_rows(self.settings) | held_out


def read_report(run: Run) -> Report:
    """Raises InputError when the run has no finished sweep, or a file is not what a sweep writes."""
    folder, manifest = run.stage(TUNE.name), run.manifest(TUNE.name)
    if manifest is None:
        raise InputError(f"{folder} holds no finished sweep", f"run it first: crawl2chat tune --run {run.folder}")
    try:
        found = Report(run, manifest, read_results(folder), read_curves(folder), read_sweep(folder))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"{folder} does not hold what a sweep of this version writes: {error}",
            f"run it again: crawl2chat tune --run {run.folder}",
        ) from error
    found.forecast, found.verification = read_outcome(run, *FORECAST), read_outcome(run, *VERIFICATION)
    forecast_marks = (found.forecast or {}).get("marks", [])
    found.warnings = [*_foreign(found), *dict.fromkeys([*found.sweep.marks, *forecast_marks])]
    return found


def read_outcome(run: Run, stage: str, name: str) -> Record | None:
    """The JSON object that a later stage left; None when it did not run. Raises InputError for another kind of file."""
    path = run.stage(stage) / name
    if not path.is_file():
        return None
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {error}", f"remove {path.parent}, and run the stage again") from error
    if not isinstance(raw, dict):
        raise InputError(f"{path} holds no object", f"remove {path.parent}, and run the stage again")
    return raw


def _foreign(report: Report) -> list[str]:
    """What does not belong together: the sweep and the recipe or the data, the forecast and either of its sides."""
    found = []
    try:
        [planned] = plan([TUNE], report.run)
        if planned.todo:
            found.append(f"the sweep is not that of the recipe and data as they are now ({planned.why})")
    except Crawl2ChatError as error:
        found.append(f"whether the sweep is that of the recipe and data as they are now is unknown: {error.message}")
    earlier = report.run.manifest(FORECAST[0])
    if earlier is not None and earlier.inputs.get(TUNE.name) != report.manifest.digest:
        found.append("the forecast was made from other results than the sweep's")
    forecast, verification = report.forecast or {}, report.verification or {}
    if verification and verification.get("forecast") != forecast.get("loss"):
        found.append(
            f"the verification is of another forecast: {verification.get('forecast')}, not {forecast.get('loss')}"
        )
    return found


def numbers(report: Report) -> Record:
    """What `--json` prints. Null is what the sweep does not have."""
    forecast, verification, sweep = report.forecast or {}, report.verification or {}, report.sweep
    law: Mapping[str, Any] = forecast.get("law") or {}
    asha = sweep.asha
    return {
        "constants": {name: law.get(name) for name in ("E", "A", "B", "alpha", "beta", "gamma")} if law else None,
        "intervals": forecast.get("intervals"),
        "forecast": {key: forecast.get(key) for key in _FORECAST_KEYS} if "loss" in forecast else None,
        "held_out_loss": verification.get("loss"),
        "forecast_error": verification.get("error"),
        "inside": verification.get("inside"),
        "lr_drift_steps": {key: sweep.drift.get(key) for key in ("transfer", "standard")},
        "lr_drift_is_bound": sweep.drift_is_bound,
        "busy_share": sweep.busy_share,
        "asha_step_share": asha.asha_steps / asha.grid_steps if asha and asha.grid_steps else None,
        "asha_loss_ratio": asha.asha_loss / asha.grid_loss if asha and asha.grid_loss else None,
        "warnings": report.warnings,
    }


_FORECAST_KEYS = (
    "written", "code_version", "target", "loss", "interval", "level", "learning_rate", "law_learning_rate",
    "batch_tokens", "compute_ratio",
)  # fmt: skip
