"""What a run's files say of its tasks and trainings, by hand. integration/test_plan.py: of real runs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crawl2chat.core.manifest import Manifest, write_manifest
from crawl2chat.core.recipe import Recipe
from crawl2chat.core.run import Run
from crawl2chat.plan.run_profile import by_source
from crawl2chat.plan.timing import _by_source
from crawl2chat.plan.training import model_of
from crawl2chat.plan.training_profile import counted_mb, read_trainings


def test_quantities_of_sources_are_those_of_their_units() -> None:
    amounts = {"pages": {"web-00000": 3.0, "web-00001": 4.0, "wiki-a-00000": 5.0}, "kept": {"web-00000": 1.0}}
    assert by_source(amounts) == {"web": {"pages": 7.0, "kept": 1.0}, "wiki-a": {"pages": 5.0}}


def test_sources_have_rates_of_their_own() -> None:
    """Two cores, whose first tasks took 2 s to start: web does 2 a second, wiki 3."""
    names = ["web-00000", "web-00001", "web-00002", "wiki-00000"]
    later = np.array([False, False, True, True])
    found = _by_source(names, np.array([10.0, 10, 10, 30]), np.array([7.0, 7, 5, 10]), later, 2.0)
    assert found == {"web": 2.0, "wiki": 3.0}
    alone = _by_source(names[:2], np.array([10.0, 10]), np.array([7.0, 7]), later[:2], 2.0)
    assert alone == {}, "one source has the rate of the pass"


def run_of(folder: Path, rows: list[dict[str, Any]], course: list[dict[str, Any]]) -> Run:
    """A run whose stage pretrain has written these files, and took 50 seconds since second 1000."""
    model = {"layers": 1, "width": 32, "heads": 2, "kv_heads": 1, "feed_forward": 64, "context": 64}
    recipe = Recipe.model_validate(
        {"name": "r", "storage": str(folder), "sources": [{"kind": "jsonl", "name": "w", "paths": ["x.jsonl"]}],
         "model": model, "train": {"steps": 20, "batch": 8, "log_every": 5, "validate_every": 10},
         "tokenizer": {"vocab_size": 300}}
    )  # fmt: skip
    run, empty = Run(recipe), {"config": {}, "inputs": {}, "files": []}
    stages = {"pretrain": {"model": model_of(recipe).to_dict()}, "shards": {}}
    for stage, facts in stages.items():
        run.stage(stage).mkdir(parents=True)
        manifest = Manifest(
            stage=stage, version=1, fingerprint="", counters={"tokens_validation": 1536}, facts=facts, code_version="",
            seconds=50, made_with={"processors": {"CPU": 2.0}}, **empty,
        )  # fmt: skip
        write_manifest(run.stage(stage), manifest)
    pretrain = run.stage("pretrain")
    (pretrain / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (pretrain / "course.jsonl").write_text("".join(json.dumps(line) + "\n" for line in course))
    (pretrain / "started.json").write_text("{}")
    os.utime(pretrain / "started.json", (1000, 1000))
    return run


ROWS = [
    {"step": 5 * n, "tokens_seen": 2560 * n, "tokens_per_second": 256.0 if n == 1 else 512.0, "memory_bytes": 5e8}
    for n in range(1, 5)
]  # five steps of 512 tokens in 10 seconds, then fifteen in a second each
COURSE = [{"what": "start", "step": 0, "time": 1012.0}, {"what": "checkpoint", "step": 20, "time": 1043.0}]


def test_a_training_is_taken_apart(tmp_path: Path) -> None:
    """12 s until it began, 5 s that the first steps took longer, 20 steps of a second, two validations of 1,536 tokens
    (a second each, a third of a step's work), 4 s around these, and 7 s behind the last checkpoint."""
    run = run_of(tmp_path, ROWS, COURSE)
    found = read_trainings(run)["pretrain"]
    assert (found.step_s, found.start_s, found.check_s, found.end_s) == pytest.approx((1.0, 17.0, 2.0, 7.0))
    assert found.row_tokens == 512 and found.cpus == 2 and found.ranks == 2
    assert found.flops_s == pytest.approx(512 * model_of(run.recipe).flops_per_token())
    assert found.other_mb == pytest.approx(500 - counted_mb(run.recipe, model_of(run.recipe), 2))


def test_a_training_that_was_continued_says_nothing(tmp_path: Path) -> None:
    again = [*COURSE[:1], {"what": "start", "step": 10, "time": 1030.0}, *COURSE[1:]]
    assert read_trainings(run_of(tmp_path / "continued", ROWS, again)) == {}
    assert read_trainings(run_of(tmp_path / "short", ROWS[:1], COURSE)) == {}
