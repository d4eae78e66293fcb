"""benchmarks/scale_sim.py on real runs: a small one predicts one of another size, and not one of another kind."""

from __future__ import annotations

import importlib
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from crawl2chat.core.errors import InputError
from crawl2chat.core.recipe import Recipe
from crawl2chat.core.run import Run
from crawl2chat.core.runner import bring_up_to_date
from crawl2chat.pipelines.stages import GROUPS, all_stages

pytestmark = [pytest.mark.ray, pytest.mark.slow]
BENCHMARKS = Path(__file__).parent.parent.parent / "benchmarks"
PAGES = 30  # of a file: of these six are near copies, and three are copies


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


def page(number: int) -> str:
    """150 words of its own; each third page holds 40 words that all of these share."""
    dice, shared = random.Random(number), random.Random(-1)
    words = [f"word{dice.randrange(10**6)}" for _ in range(150)]
    if number % 3 == 0:
        words[60:60] = [f"shared{shared.randrange(10**6)}" for _ in range(40)]
    return " ".join(words)


def file_of(first: int, copies: int) -> list[str]:
    """The pages of a file: `copies` copies, six near copies, the others new."""
    new = [page(first * PAGES + number) for number in range(PAGES - 6 - copies)]
    near = [f"{text} once more" for text in new[:6]]
    return [*new, *near, *(new[6 + number % (len(new) - 6)] for number in range(copies))]


def made(folder: Path, name: str, files: range, copies: int = 3, tokens: bool = True) -> Run:
    """A finished run over such files."""
    (folder / name).mkdir()
    for number in files:
        rows = "".join(json.dumps({"text": text}) + "\n" for text in file_of(number, copies))
        (folder / name / f"{number:03d}.jsonl").write_text(rows)
    none = dict.fromkeys(("gopher_repetition", "gopher_quality", "c4", "fineweb"))
    recipe = {
        "name": name,
        "storage": str(folder / "runs"),
        "sources": [{"kind": "jsonl", "name": "web", "paths": [str(folder / name / "*.jsonl")]}],
        "language": {"keep": [], "threshold": 0},
        "filters": none,
        "dedup": {"gates": {"max_removed": 1}},
        "spans": {"min_tokens": 10},
        "paragraphs": {},
        "tokenizer": {"vocab_size": 400},
    }
    run = Run(Recipe.model_validate(recipe))
    groups = ("data", "tokenizer") if tokens else ("data",)
    wanted = {stage for group in groups for stage in GROUPS[group]}
    run.write_recipe()
    list(bring_up_to_date([one for one in all_stages(run.recipe) if one.name in wanted], run, nullcontext))
    return run


def test_a_small_run_predicts_a_larger_one(
    local_ray: None, tmp_path: Path, module: Callable[[str], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows, bytes and files; seconds are predicted, and no test asserts them. A corpus of copies is told apart."""
    small, large = (made(tmp_path, name, files) for name, files in (("small", range(4)), ("large", range(4, 14))))
    read, check, shape = (
        module("crawl2chat.plan.run_profile").read_profile,
        module("_scale_check"),
        module("crawl2chat.plan.cluster"),
    )
    profile, other = read(small.folder), read(large.folder)
    assert profile.totals["pages"] == 4 * PAGES and profile.totals["kept"] == 4 * (PAGES - 9)
    assert profile.totals["input bytes"] == sum(path.stat().st_size for path in (tmp_path / "small").iterdir())
    assert set(profile.passes) == set(other.passes) and len(profile.passes) >= 23
    assert all(timed.wall > 0 and timed.rate > 0 for timed in profile.passes.values())
    lines = check.compare(profile, other, shape.Costs())
    assert not [line for line in lines if line.kind != "seconds" and not line.right]
    assert {line.name for line in lines if line.kind == "files"} == set(other.seconds)
    seconds = [line for line in lines if line.kind == "seconds"]
    assert len(seconds) == len(other.seconds) and all(line.predicted > 0 for line in seconds)
    slow = replace(other, seconds={line.name: 10 * line.predicted + 60 for line in seconds})
    wrong = [line for line in check.compare(profile, slow, shape.Costs()) if not line.right]
    assert {line.kind for line in wrong} == {"seconds"} and len(wrong) == len(seconds)

    copies = read(made(tmp_path, "copies", range(14, 18), copies=15, tokens=False).folder)
    wrong = [line for line in check.compare(profile, copies, shape.Costs()) if not line.right]
    assert {"kept", "words"} & {line.name for line in wrong if line.kind == "rows"}
    assert "pages" not in {line.name for line in wrong}

    moved = tmp_path / "moved"
    shutil.copytree(small.folder, moved, copy_function=shutil.copyfile)
    with pytest.raises(InputError, match="copied without the times"):
        read(moved)

    told = figures("--run", small.folder, "--warc-tb", 1, "--nodes", 10)
    assert told["files"] == 1000 and told["cluster"]["nodes"] == 10
    assert {one["stage"] for one in told["passes"]} == set(profile.seconds) and len(told["limits"]) >= 10
    done = run_it("--check", small.folder, moved)
    assert done.returncode == 1 and "copied without the times" in done.stderr


def figures(*options: object) -> dict[str, Any]:
    done = run_it(*options, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def run_it(*options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / "scale_sim.py"), *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_what_the_driver_takes_can_be_measured(tmp_path: Path) -> None:
    costs = figures("--costs", "--quick")
    assert 0 < costs["unit_s"] < 1 and 0 < costs["entry_s"] < 0.01 and costs["entry_mb"] > 0
