"""The shipped sweep, as a user runs it: from a dump to a forecast, its proof and its page, killed on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

pytestmark = [pytest.mark.ray, pytest.mark.slow]
COMMAND = [sys.executable, "-m", "crawl2chat", "tune"]


def started(folder: Path) -> subprocess.Popen[str]:
    environment = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"}
    with (folder / "log.txt").open("a") as out:
        return subprocess.Popen(
            [*COMMAND, "sweep", "sweep_tiny"], cwd=folder, env=environment, text=True, stdout=out,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip


def test_the_tiny_sweep_goes_through_a_kill_to_a_verified_forecast(
    tmp_path: Path, documented_commands: dict[str, list[str]]
) -> None:
    lines = {line for page in documented_commands.values() for line in page if "sweep_" in line}
    shown, sweep = "crawl2chat tune report --run runs/sweep_tiny", "crawl2chat tune sweep recipes/sweep_tiny.yaml"
    assert lines == {shown, sweep}, "what is documented is what runs below"
    first = started(tmp_path)
    deadline = time.monotonic() + 400
    while len(before := ended(tmp_path)) < 4:
        assert first.poll() is None, (tmp_path / "log.txt").read_text()[-2000:]
        assert time.monotonic() < deadline, "four trials do not take so long"
        time.sleep(0.2)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    kept = {path: path.read_bytes() for path in before}
    assert started(tmp_path).wait(timeout=800) == 0, (tmp_path / "log.txt").read_text()[-2000:]
    assert {path: path.read_bytes() for path in kept} == kept, "a trial that had ended is not run again"

    run = tmp_path / "runs" / "sweep_tiny"
    found = json.loads((run / "tune" / "results.json").read_text())
    searched = [one for one in found if one["phase"] == "search"]
    assert {(one["row"], one["transfer"]) for one in searched} == {
        (r, t) for r in ("w32", "w128") for t in (True, False)
    }
    assert sum(one["phase"] == "ladder" and one["state"] == "finished" for one in found) == 9
    forecast = json.loads((run / "forecast" / "forecast.json").read_text())
    began = json.loads((run / "verify" / "began.json").read_text())
    assert forecast["written"][:26] < began[:26], "first the forecast, then the run"
    assert forecast["compute_ratio"] >= 10
    report = [*COMMAND, "report", "--run", "runs/sweep_tiny", "--json"]
    told = json.loads(subprocess.check_output(report, cwd=tmp_path, text=True))
    verification = json.loads((run / "verify" / "verification.json").read_text())
    assert told["held_out_loss"] == verification["loss"] < forecast["points"][0]["loss"]
    assert told["forecast_error"] == pytest.approx((told["held_out_loss"] - forecast["loss"]) / forecast["loss"])
    assert set(told["lr_drift_steps"]) == {"transfer", "standard"}
    assert 0.2 < told["asha_step_share"] <= 0.9 and told["asha_loss_ratio"] <= 1.02
    assert 0.1 < told["busy_share"] <= 1.02, "trials of seconds, and some seconds between phases"
    tensorboard_shows(run, found)
    page = (run / "report" / "index.html").read_text()
    assert "n260k" in page and "<svg" in page

    seconds = time.monotonic()
    assert started(tmp_path).wait(timeout=100) == 0
    assert "nothing to do" in (tmp_path / "log.txt").read_text() and time.monotonic() - seconds < 100


def tensorboard_shows(run: Path, found: list[dict[str, Any]]) -> None:
    """Every trial's event files tell the loss that its result has."""
    last = set()
    for path in run.glob("tune/ray/*/*/events.out.tfevents.*"):
        events = EventAccumulator(str(path)).Reload()
        if "ray/tune/validation_loss" in events.Tags()["scalars"]:  # a kill may leave a file with none
            last |= {round(event.value, 4) for event in events.Scalars("ray/tune/validation_loss")}
    losses = {round(one["validation_loss"], 4) for one in found if one["state"] == "finished"}
    assert losses <= last, losses - last


def ended(folder: Path) -> list[Path]:
    """Reports of the trials that have told their last step."""
    reports = (folder / "runs").glob("sweep_tiny/tune*/ray/search-*/*/reports.jsonl")
    return [
        path for path in reports if (lines := path.read_bytes().splitlines()) and json.loads(lines[-1])["step"] == 100
    ]
