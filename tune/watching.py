"""What the driver hears of trials while they run, and where a budget ends them.

Ray Tune pickles its callbacks and stoppers, and a restored search brings them back as they were: what belongs to this
process stands in `_now`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.experiment import Trial as RayTrial
from ray.tune.stopper import Stopper

from .spent import SessionFile, reports, write_report
from .trial_run import failed

Listener = Callable[[str, dict[str, Any], bool], None]


@dataclass
class Allowance:
    """What a budget leaves when a driver begins: seconds of searching, and tokens; None is no end."""

    seconds: float | None = None
    tokens: float | None = None


@dataclass
class Session:
    """One driver's part of a sweep. `own_tokens`: of each start of a trial, trained since it began."""

    listener: Listener
    allowance: Allowance
    folder: Path
    own_tokens: dict[tuple[str, float], int] = field(default_factory=dict)
    began: float | None = None  # the first trial's start that this driver heard of
    file: SessionFile | None = None

    def hear(self, name: str, report: dict[str, Any]) -> None:
        if self.file is None:
            began = self.began = float(report["began"])
            self.file = SessionFile(self.folder, began)
        self.own_tokens[name, report["began"]] = report["own_tokens"]
        self.file.heard(report["now"])
        self.listener(name, report, False)

    @property
    def used_up(self) -> bool:
        seconds, tokens = self.allowance.seconds, self.allowance.tokens
        spent = time.time() - self.began if self.began is not None else 0.0
        late = seconds is not None and spent >= seconds
        return late or (tokens is not None and sum(self.own_tokens.values()) >= tokens)


_now: list[Session] = []  # of this process: one at most


class Heard(tune.Callback):
    """Writes the trials' reports down, and hands them on to this process's session."""

    def on_trial_result(
        self, iteration: int, trials: list[RayTrial], trial: RayTrial, result: dict[str, Any], **info: Any
    ) -> None:
        assert trial.storage is not None
        write_report(Path(trial.storage.trial_fs_path), result)
        for session in _now:
            session.hear(trial.custom_dirname or trial.trial_id, result)

    def on_trial_complete(self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any) -> None:
        for session in _now:
            session.listener(trial.custom_dirname or trial.trial_id, {}, True)

    def on_trial_error(self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any) -> None:
        """What a trial has raised ends it for good: it would be raised again."""
        assert trial.storage is not None
        folder = Path(trial.storage.trial_fs_path)
        lines = str(trial.get_error()).strip().splitlines()
        kept = {key: report[key] for report in reports(folder)[-1:] for key in ("step", "tokens", "lengths")}
        write_report(folder, failed(lines[-1] if lines else "it failed") | kept | {"config": trial.config})
        self.on_trial_complete(iteration, trials, trial)


class AllowanceStopper(Stopper):
    """Ends all trials when the allowance is used up."""

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return any(session.used_up for session in _now)


@contextmanager
def heard_by(session: Session) -> Iterator[None]:
    """Within, trials are heard by this session."""
    _now[:] = [session]
    try:
        yield
    finally:
        _now.clear()
