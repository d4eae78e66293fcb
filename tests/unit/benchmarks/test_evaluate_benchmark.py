"""The benchmark of evaluation as the command that others call: both sides find the same answers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent.parent.parent / "benchmarks"


@pytest.mark.slow
def test_the_command_on_few_items(shared_data: Path) -> None:
    pytest.importorskip("lm_eval", reason="not a dependency; pip install crawl2chat[eval] to run it")
    command = [str(BENCHMARKS / "evaluate.py"), "--items", "6", "--shots", "1", "--batches", "1", "2", "--json"]
    done = subprocess.run(
        [sys.executable, *command, "--data", str(shared_data)], capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["item_agreement"] == 1 and figures["lm_eval_ratio"] > 0 and figures["score_difference"] < 1e-3
    assert "lm-eval HFLM, batch" in done.stdout
