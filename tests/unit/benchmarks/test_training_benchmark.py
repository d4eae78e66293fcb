"""The training benchmark as the command that others call: absent peers, the recipe on a small text, a measured loop."""

from __future__ import annotations

import importlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parent.parent.parent.parent / "benchmarks"


def figures(*options: object) -> dict[str, float | None]:
    command = [sys.executable, str(BENCHMARKS / "train.py"), "--json", *map(str, options)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=os.environ, timeout=300)
    return json.loads(done.stdout.splitlines()[-1])


def test_an_absent_peer_gives_null(tmp_path: Path) -> None:
    found = figures("--only", "nanogpt", "--only", "shakespeare", "--nanogpt", tmp_path, "--text", tmp_path / "none")
    assert found == {"nanogpt_step_ratio": None, "shakespeare_val_loss": None}


@pytest.mark.slow
def test_a_section_without_a_peer_gives_its_figure() -> None:
    found = figures("--only", "loader", "--quick")
    speed = found["loader_tokens_per_s"]
    assert len(found) == 1 and speed is not None and speed > 1e6


@pytest.mark.slow
def test_the_recipe_on_a_small_text(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("All work and no play makes Jack a dull boy.\n" * 100)
    options = ["--only", "shakespeare", "--text", path, "--seeds", 1, "--set", "train.steps=60"]
    options += ["--set", "resources.threads_per_worker=1", "--set", "resources.parallel.compile=false"]
    found = figures(*options, "--held-out")
    assert set(found) == {"shakespeare_held_out_loss"}, "not the validation part's"
    loss = found["shakespeare_held_out_loss"]
    assert loss is not None and loss < 0.5 < math.log(20), "the text is one line again and again"


@pytest.mark.slow
def test_our_side_trains_on_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    sides: Any = importlib.import_module("_train_sides")
    shape = {"vocab_size": 65, "layers": 1, "width": 16, "heads": 2, "context": 16, "batch": 4}
    settings = {"side": "crawl2chat", "shape": shape, "compile": False, "threads": 1}
    ours = sides.Side("ours", settings)
    broken = sides.Side("broken", settings | {"shape": shape | {"heads": 3}})
    sides.measure([ours, broken], steps=2, rounds=3, warm_up=1)
    assert len(ours.times) == 3 and min(ours.times) > 0 and ours.parameters > 65 * 16
    assert broken.seconds is None and sides.best([broken, ours]) is ours
