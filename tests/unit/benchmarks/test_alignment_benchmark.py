"""The benchmark of fine-tuning and alignment as the command that others call: few steps, and all of its figures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent.parent.parent / "benchmarks"


@pytest.mark.slow
@pytest.mark.ray
def test_the_command_with_few_steps(shared_data: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARKS / "alignment.py"), "--quick", "--json", "--keep", str(tmp_path)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=900,
        env=os.environ | {"CRAWL2CHAT_SHARED": str(shared_data.parent)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found.keys() == {
        "loss_fall", "answers_ended_share", "answers_ended_sampled_share", "preference_accuracy_before",
        "preference_accuracy", "ranking_accuracy_before", "ranking_accuracy", "margin", "kl_estimate", "divergence",
    }  # fmt: skip
    shares = [value for name, value in found.items() if "share" in name or "accuracy" in name]
    assert all(0 <= one <= 1 for one in shares) and found["preference_accuracy_before"] == 0.5
    assert found["loss_fall"] > 0 and found["divergence"] >= 0
    counters = json.loads((tmp_path / "alignment" / "finetune" / "manifest.json").read_text())["counters"]
    assert found["loss_fall"] == pytest.approx(
        1 - counters["validation_loss"] / counters["validation_loss_before"], rel=1e-3
    )
    assert "| preference accuracy " in done.stdout
