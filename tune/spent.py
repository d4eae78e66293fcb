"""What a sweep has used up: processor seconds, tokens and wall time, from what its trials have reported.

The driver writes each report of a trial down as it hears it, so that a kill loses none. (Ray Tune's own result.json is
copied to the trial's folder now and then, and a trial that starts again without a checkpoint empties it.) A trial that
was started several times has reports of each start, which say when it began.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.files import write_json
from .results import Busy

REPORTS = "reports.jsonl"  # in a trial's folder, a line a report
SESSIONS = "sessions"


@dataclass(frozen=True)
class Start:
    """One start of a trial, up to its last report. Times are Unix seconds."""

    phase: str
    trial: str
    began: float
    ended: float
    cpu_seconds: float
    tokens: int
    steps: int


def write_report(folder: Path, report: Mapping[str, Any]) -> None:
    """Append a report to those of a trial's folder, without the trial's configuration, but with its phase."""
    told = {key: value for key, value in report.items() if key != "config"}
    told["phase"] = report["config"]["trial"]["phase"]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / REPORTS).open("ab+") as out:
        if out.tell():
            out.seek(-1, os.SEEK_END)
            if out.read(1) != b"\n":  # a line that a kill has cut: nothing may be written on in it
                out.write(b"\n")
        out.write(json.dumps(told, default=str).encode() + b"\n")


def reports(folder: Path) -> list[dict[str, Any]]:
    """The reports of a trial's folder; a line that a kill has cut is left out."""
    path, found = folder / REPORTS, []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def has_ended(folder: Path, lengths: int, stopped: bool = True) -> bool:
    """Whether the trial's reports tell of its end: a loss at each of its lengths, or why it has none; or, if `stopped`
    is one, that its scheduler has stopped it."""
    told = reports(folder)
    if not told:
        return False
    last = told[-1]
    return len(json.loads(last["lengths"])) == lengths or last["state"] != "ok" or (stopped and bool(last.get("done")))


def starts(folder: Path) -> Iterator[Start]:
    """Of all trials below a stage's folder."""
    for path in sorted((folder / "ray").glob(f"*/*/{REPORTS}")):
        last = {report["began"]: report for report in reports(path.parent)}
        for began, report in last.items():
            cpu, tokens, steps = (report[f"own_{key}"] for key in ("cpu_seconds", "tokens", "steps"))
            phase = report["phase"]  # not the folder's: trials of two phases may run together
            yield Start(phase, path.parent.name, began, report["now"], cpu, tokens, steps)


def busy(found: Sequence[Start], cores: int) -> list[Busy]:
    """One for each phase: its wall time is that in which at least one of its trials ran."""
    phases: dict[str, list[Start]] = {}
    for start in found:
        phases.setdefault(start.phase, []).append(start)
    return [
        Busy(
            phase=phase,
            trials=len({start.trial for start in members}),
            steps=sum(start.steps for start in members),
            cores=cores,
            wall_seconds=_covered([(start.began, start.ended) for start in members]),
            cpu_seconds=sum(start.cpu_seconds for start in members),
        )
        for phase, members in phases.items()
    ]


def _covered(spans: list[tuple[float, float]]) -> float:
    total, until = 0.0, -math.inf
    for begin, end in sorted(spans):
        total += max(0.0, end - max(begin, until))
        until = max(until, end)
    return total


class SessionFile:
    """From a driver's first trial to the last report that it heard, gaps between phases among them; kept on disk."""

    def __init__(self, folder: Path, began: float) -> None:
        self._path, self._began, self._written = folder / SESSIONS / f"{began:.3f}.json", began, 0.0

    def heard(self, now: float) -> None:
        if now - self._written > 1 or not self._path.exists():
            write_json(self._path, {"began": self._began, "ended": now})
            self._written = now


def session_seconds(folder: Path) -> float:
    """Of all drivers so far."""
    read = [json.loads(path.read_text(encoding="utf-8")) for path in (folder / SESSIONS).glob("*.json")]
    return sum(one["ended"] - one["began"] for one in read)
