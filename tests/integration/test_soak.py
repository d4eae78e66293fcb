"""benchmarks/soak.py on a small corpus: five passes in one session, and what the processes of this machine grow."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.ray, pytest.mark.failure]


def test_five_passes_in_one_session_grow_little(shared_data: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "soak.py"), "--json", "--passes", "5"]
    told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=400).stdout
    figures = json.loads(told.splitlines()[-1])
    assert figures["passes"] == 5
    # Ray's two have 30 to 60 MB: a quarter is a few MB
    for process, most in {"driver": 0.10, "raylet": 0.25, "gcs_server": 0.25}.items():
        assert figures[f"{process}_growth"] < most, told
