"""Kills of workers, actors, raylets, driver and head, one after the other, on a Ray of three raylets: the run makes
what the undisturbed run makes: benchmarks/chaos.py, on the tiny recipe made smaller.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from .conftest import SMALL

pytestmark = [pytest.mark.ray, pytest.mark.failure]
CHAOS = Path(__file__).parent.parent.parent / "benchmarks" / "chaos.py"
KILLS = 10  # 25 of them: docs/cluster.md
LEFT_TO_THE_BENCHMARK = ("storage=", "tune.")


def test_what_the_kills_leave_is_what_nobody_disturbed() -> None:
    sets = [word for one in SMALL if not one.startswith(LEFT_TO_THE_BENCHMARK) for word in ("--set", one)]
    with tempfile.TemporaryDirectory(prefix="c2c", dir="/tmp") as folder:  # short: Ray's sockets live below it
        command = [sys.executable, str(CHAOS), "--kills", str(KILLS), "--every", "10", "--folder", folder, "--json"]
        done = subprocess.run([*command, *sets], cwd=CHAOS.parent, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["kills"] == KILLS
    hit = [kind for kind in ("worker", "actor", "raylet", "driver", "head") if told[f"kills_{kind}"]]
    assert len(hit) >= 4, "a kind has no victim while nothing of it runs"
    assert told["submitted"] > told["rounds"], "the policy submitted it again"
    assert told["documents"] > 100 * told["rounds"] and told["steps"] > 10 * told["rounds"]
    for name in ("documents_lost", "documents_twice", "fates_changed", "shards_changed", "steps_changed"):
        assert told[name] == 0, (name, told)
