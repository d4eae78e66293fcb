"""A made-up profile whose figures can be computed by hand, a recipe for it, and machines."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from crawl2chat.core.recipe import Recipe
from crawl2chat.plan.machines import Machines
from crawl2chat.plan.passes import GROWS
from crawl2chat.plan.profile_file import Measured
from crawl2chat.plan.run_profile import Profile
from crawl2chat.plan.timing import Timed
from crawl2chat.plan.training_profile import Training


@pytest.fixture
def profile() -> Profile:
    """1 MB of the source web and 1 MB of wiki in 4 files: extract at 1 MB/s a core after 2 seconds, dedup by a pass of
    its command alone. A page of web is 10 kB, one of wiki 2 kB, and takes half as long for a byte."""
    web = {"input bytes": 1e6, "pages": 100.0, "documents": 50.0, "text bytes": 2e5, "candidates": 10.0, "kept": 40.0,
           "left": 40.0, "left bytes": 1.6e5, "tokens": 4e4}  # fmt: skip
    wiki = {"input bytes": 1e6, "pages": 500.0, "documents": 450.0, "text bytes": 8e5, "candidates": 10.0,
            "kept": 440.0, "left": 440.0, "left bytes": 7.8e5, "tokens": 2e5}  # fmt: skip
    totals = {name: web[name] + wiki[name] for name in web}
    totals |= {"units": 4.0, "rows": 8000.0, "edges": 40.0, "sample bytes": 9.4e5, "sample limit": 1e8}
    passes = {
        "extract/extract": Timed(4.0, 4, 1e6, 2.0, 0.0, {"web": 0.75e6, "wiki": 1.5e6}),
        "dedup/components": Timed(1.0, 1, 40.0, 0.0),
        "tokenizer/train": Timed(3.0, 1, 1e6, 2.06),
    }
    disk = dict.fromkeys(GROWS, 0.0) | {"input": 2e6, "extract/documents": 1e6}
    return Profile(
        cores=2, bands=14, totals=totals, amounts={}, passes=passes, disk=disk, files=dict.fromkeys(GROWS, 4),
        rest={"extract": 1.0}, seconds={}, facts={"largest component": 3.0}, sources={"web": web, "wiki": wiki},
        kinds={"web": "warc", "wiki": "jsonl"}, worker_mb={"extract": 1000.0},
    )  # fmt: skip


@pytest.fixture
def training() -> Training:
    """A billion FLOPs a second on each of two CPUs; 10 s to start, 2 s around a validation, 5 s at the end."""
    return Training(
        step_s=0.5, row_tokens=1000.0, flops_per_token=1e6, start_s=10.0, check_s=2.0, end_s=5.0, cpus=2.0, gpus=0.0,
        ranks=2, other_mb=300.0,
    )  # fmt: skip


@pytest.fixture
def measured(profile: Profile, training: Training) -> Measured:
    return Measured({"what": "made up", "date": "today"}, profile, None, {"pretrain": training}, {"samples": 2.0})


@pytest.fixture
def recipe(tmp_path: Path) -> Callable[..., Recipe]:
    """A recipe with 10 files of 1 MB of web and one of 0.5 MB of wiki that says nothing but its size."""

    def make(**sections: Any) -> Recipe:
        folder = tmp_path / "sources"
        folder.mkdir(exist_ok=True)
        for number in range(10):
            (folder / f"{number}.warc.gz").write_bytes(bytes(10**6))
        (folder / "wiki.jsonl").write_text(json.dumps({"text": "x" * (500_000 - 13)}) + "\n")
        sources = [
            {"kind": "warc", "name": "web", "paths": [str(folder / "*.warc.gz")]},
            {"kind": "jsonl", "name": "wiki", "paths": [str(folder / "wiki.jsonl")]},
        ]
        return Recipe.model_validate({"name": "r", "storage": str(tmp_path / "runs"), "sources": sources} | sections)

    return make


@pytest.fixture
def two_cores() -> Machines:
    """A node of 2 CPUs and 8 GB."""
    return Machines(nodes=1, cpus=2, memory_gb=8.0, store_gb=1.0)
