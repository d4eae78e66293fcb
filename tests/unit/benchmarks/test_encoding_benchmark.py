"""The encoding benchmark as the command that others call: its sides write the same shards, its figures are there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent.parent.parent / "benchmarks"


@pytest.mark.slow
def test_the_command_on_few_documents(shared_data: Path, tmp_path: Path) -> None:
    texts = ["It's 1234 o'clock.\r\n\n  Yes", "wörter 漢字 \U0001f600", "", "a<|endoftext|>b"] * 20
    (tmp_path / "x.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts))
    command = [BENCHMARKS / "encoding.py", "--documents", tmp_path, "--quick", "--json"]
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr  # it fails when the sides' shards differ
    figures = json.loads(done.stdout.splitlines()[-1])
    assert {"encode_speedup", "encode_over_tiktoken", "encode_gpt2_speedup", "encode_own_speedup"} <= figures.keys()
    assert figures["encode_speedup"] > 0 and figures["encode_characters_over_tiktoken"] is None
    rows = [line.split("|")[1:3] for line in done.stdout.splitlines() if line.startswith("| ")]
    assert {name.strip(): encoder.strip() for name, encoder in rows[2:]} == {
        **{"english": "compiled", "gpt2": "compiled", "many": "compiled", "characters": "compiled"},
        **{"own": "tiktoken"},
    }
