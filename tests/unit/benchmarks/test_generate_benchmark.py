"""The benchmark of generation as the command that others call."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent.parent.parent / "benchmarks"


@pytest.mark.slow
def test_it_gives_both_figures(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="not a dependency; pip install transformers to run it")
    texts = [{"text": f"The history of number {n} is short, and nobody wrote it down."} for n in range(50)]
    (tmp_path / "texts.jsonl").write_text("\n".join(map(json.dumps, texts)))
    command = [sys.executable, str(BENCHMARKS / "generate.py"), "--quick", "--json", "--documents", str(tmp_path)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=300)
    found = json.loads(done.stdout.splitlines()[-1])
    assert set(found) == {"batch8_gain", "hf_generate_ratio"}
    assert all(value > 0 for value in found.values())
