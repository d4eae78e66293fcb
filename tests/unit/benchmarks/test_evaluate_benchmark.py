"""The benchmark of evaluation as the command that others call: both sides find the same answers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent.parent.parent / "benchmarks"


def rows(output: str) -> list[list[str]]:
    """The cells of a table in Markdown."""
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in output.splitlines() if line.startswith("|")]


@pytest.mark.slow
@pytest.mark.parametrize("spread", [[], ["--spread"]])
def test_the_command_on_few_items(shared_data: Path, spread: list[str]) -> None:
    pytest.importorskip("lm_eval", reason="not a dependency; pip install crawl2chat[eval] to run it")
    options = ["--items", "6", "--shots", "1", "--batches", "1", "2", "--json", *spread, "--data", str(shared_data)]
    command = [sys.executable, str(BENCHMARKS / "evaluate.py"), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["item_agreement"] == 1.0 and figures["score_difference"] < 1e-5
    ours, theirs = (next(row for row in rows(done.stdout) if row[0].startswith(name)) for name in ("ours", "lm-eval"))
    assert figures["lm_eval_ratio"] == pytest.approx(float(theirs[2]) / float(ours[2]), rel=0.02)
    assert f"6 items of {6 if spread else 1} subjects" in done.stdout
