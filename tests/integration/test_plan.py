"""`crawl2chat plan --measure` on Ray: a profile of a sample, and a plan by it that the whole run bears out."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from crawl2chat.core.run import Run
from crawl2chat.plan.profile_file import read_measured
from crawl2chat.plan.run_profile import read_profile

pytestmark = [pytest.mark.ray, pytest.mark.slow]
FILES, DOCUMENTS = 6, 600  # of these a tenth are copies


def text(number: int) -> str:
    """200 words of which many are common, as in a language."""
    dice = random.Random(number)
    return " ".join(f"word{int(dice.paretovariate(0.6)) % 5000}" for _ in range(200))


def write_recipe(folder: Path) -> Path:
    (folder / "web").mkdir()
    for file in range(FILES):
        numbers = [file * DOCUMENTS + n - (n % 10 == 9) for n in range(DOCUMENTS)]  # each tenth is its neighbour again
        rows = "".join(json.dumps({"text": text(number)}) + "\n" for number in numbers)
        (folder / "web" / f"{file}.jsonl").write_text(rows)
    model = {"layers": 1, "width": 32, "heads": 2, "kv_heads": 1, "feed_forward": 64, "context": 64}
    recipe = {
        "name": "planned",
        "storage": "runs",
        "sources": [{"kind": "jsonl", "name": "web", "paths": ["web/*.jsonl"]}],
        "language": {"keep": [], "threshold": 0},
        "filters": dict.fromkeys(("gopher_repetition", "gopher_quality", "c4", "fineweb")),
        "spans": {"min_tokens": 20},
        "tokenizer": {"vocab_size": 400},
        "model": model,
        "train": {"steps": 60, "batch": 8, "validate_every": 30, "checkpoint_every": 30},
        "resources": {"cpus": 2},
    }
    (folder / "planned.yaml").write_text(yaml.safe_dump(recipe))
    return folder / "planned.yaml"


def command(folder: Path, *arguments: str) -> str:
    environment = {k: v for k, v in os.environ.items() if k not in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS")}
    done = subprocess.run(
        [sys.executable, "-m", "crawl2chat", *arguments], cwd=folder, env=environment, text=True, timeout=900,
        capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_sample_is_measured_and_the_whole_run_is_as_planned(tmp_path: Path) -> None:
    """Rows within 10 %, bytes within 35 %, a checkpoint among them that is there for a while only; seconds are planned,
    and no test asserts them."""
    write_recipe(tmp_path)
    output = command(tmp_path, "plan", "planned.yaml", "--measure", "--sample-bytes", "2m", "--out", "p.json", "--json")
    plan: dict[str, Any] = json.loads(output.splitlines()[-1])
    measured = read_measured(tmp_path / "p.json")
    assert measured.data is not None and 0 < measured.data.totals["pages"] < 0.7 * FILES * DOCUMENTS
    names = ["crawl", "extract", "dedup", "spans", "tokenizer", "shards", "pretrain", "samples"]
    assert [one["stage"] for one in plan["stages"]] == names and plan["fits"]
    assert all(one["seconds"] is not None for one in plan["stages"])
    assert set(measured.data.worker_mb) >= {"extract", "dedup"} and measured.data.worker_mb["extract"] > 100
    assert measured.trainings["pretrain"].step_s > 0 and measured.trainings["pretrain"].other_mb > 100
    assert not (tmp_path / "runs" / "planned").exists(), "the run itself has not begun"

    command(tmp_path, "run", "planned.yaml")
    run = Run.open(tmp_path / "runs" / "planned")
    whole = read_profile(run.folder)
    by_stage = {one["stage"]: one for one in plan["stages"]}
    assert by_stage["extract"]["documents"] == pytest.approx(whole.totals["pages"], rel=0.1)
    assert by_stage["dedup"]["documents"] == pytest.approx(whole.totals["documents"], rel=0.1)
    assert by_stage["spans"]["documents"] == pytest.approx(whole.totals["kept"], rel=0.1)
    assert by_stage["shards"]["tokens"] == pytest.approx(whole.totals["tokens"], rel=0.1)
    assert by_stage["pretrain"]["tokens"] == run.need("pretrain").counters["tokens_seen"]
    stages = ("extract", "dedup", "spans", "tokenizer", "shards", "pretrain")
    lies = sum(path.stat().st_size for name in stages for path in run.stage(name).rglob("*") if path.is_file())
    assert plan["together"]["disk"] == pytest.approx(lies, rel=0.35), "with a checkpoint that is being written"

    again = json.loads(
        command(tmp_path, "plan", "planned.yaml", "--profile", "runs/planned", "--json").splitlines()[-1]
    )
    assert again["profile"]["what"] == "a finished run of planned"
    took = {one["stage"]: one["seconds"] for one in again["stages"]}
    for name in ("extract", "dedup", "spans", "tokenizer", "shards"):  # the model puts together what it took apart
        assert took[name] == pytest.approx(run.need(name).seconds, rel=0.5, abs=5), name
