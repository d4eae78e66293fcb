"""What the driver hears of trials while they run, and where a budget ends them.

Ray Tune pickles its callbacks and stoppers, and a restored search brings them back as they were: what belongs to this
process stands in `_now`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.experiment import Trial as RayTrial
from ray.tune.stopper import Stopper

Listener = Callable[[str, dict[str, Any], bool], None]


@dataclass
class Allowance:
    """What a budget leaves: seconds of searching, and tokens; None is no end. Used up as trials report."""

    seconds: float | None = None
    tokens: float | None = None

    @property
    def used_up(self) -> bool:
        return any(left is not None and left <= 0 for left in (self.seconds, self.tokens))


@dataclass
class Session:
    """One driver's part of a phase. Of each start of a trial: when it began, and its last report."""

    listener: Listener
    allowance: Allowance
    file: Path
    starts: dict[tuple[str, float], dict[str, Any]] = field(default_factory=dict)
    tokens: dict[str, float] = field(default_factory=dict)
    looked: float = field(default_factory=time.monotonic)

    def hear(self, name: str, report: dict[str, Any]) -> None:
        first = (name, report["began"]) not in self.starts and name not in self.tokens
        self.starts[name, report["began"]] = report
        before = self.tokens.get(name, report["tokens"] if first and report["resumed"] else 0.0)
        self.tokens[name] = report["tokens"]
        self.spend(max(0.0, report["tokens"] - before))
        self.listener(name, report, False)

    def spend(self, tokens: float) -> None:
        """Take off the allowance what was used since the last look."""
        now = time.monotonic()
        if self.allowance.seconds is not None:
            self.allowance.seconds -= now - self.looked
        if self.allowance.tokens is not None:
            self.allowance.tokens -= tokens
        self.looked = now

    def write(self) -> None:
        """Add this driver's {wall, cpu} seconds to the file, from the first trial's start to the last report."""
        if not self.starts:
            return
        wall = max(report["now"] for report in self.starts.values()) - min(began for _, began in self.starts)
        cpu = sum(report["own_cpu_seconds"] for report in self.starts.values())
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a", encoding="utf-8") as out:
            out.write(json.dumps({"wall": wall, "cpu": cpu}) + "\n")


_now: list[Session] = []  # of this process: one at most


class Heard(tune.Callback):
    """Hands the trials' reports on to this process's session."""

    def on_trial_result(
        self, iteration: int, trials: list[RayTrial], trial: RayTrial, result: dict[str, Any], **info: Any
    ) -> None:
        for session in _now:
            session.hear(trial.custom_dirname or trial.trial_id, result)

    def on_trial_complete(self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any) -> None:
        for session in _now:
            session.listener(trial.custom_dirname or trial.trial_id, {}, True)

    on_trial_error = on_trial_complete


class AllowanceStopper(Stopper):
    """Ends all trials when the allowance is used up."""

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        for session in _now:
            session.spend(0.0)
        return any(session.allowance.used_up for session in _now)


@contextmanager
def heard_by(listener: Listener, allowance: Allowance, file: Path) -> Iterator[None]:
    """Within, trials are heard here. What this driver saw of them is added to `file` at the end."""
    _now[:] = [Session(listener, allowance, file)]
    try:
        yield
    finally:
        _now[0].write()
        _now.clear()


def seconds_used(folder: Path) -> tuple[float, float]:
    """(wall, cpu) seconds in a file that sessions have written, (0, 0) without one."""
    if not folder.is_file():
        return 0.0, 0.0
    lines = [json.loads(line) for line in folder.read_text(encoding="utf-8").splitlines()]
    return sum(line["wall"] for line in lines), sum(line["cpu"] for line in lines)
