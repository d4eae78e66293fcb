"""SIGKILL to the command while it selects records, cuts spans and paragraphs, decontaminates, exports; and once more.

What stands there in the end is, file by file and byte by byte, what an undisturbed run writes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from crawl2chat.core.manifest import Manifest, read_manifest

pytestmark = [pytest.mark.ray, pytest.mark.slow]

STAGES = ("extract", "dedup", "spans", "paragraphs", "decontaminate")


@pytest.fixture
def shop(tmp_path: Path, shared_data: Path, crawl_mirror: Any) -> Path:
    """A folder with a recipe: records selected from two files of a crawl, lines that repeat, and an evaluation set."""
    source = {
        **{"kind": "common_crawl", "name": "cc", "crawl": "CC-MAIN-2024-10", "mirror": crawl_mirror.url},
        **{"files": [0, 3], "access": {"retry_wait": 0.01}},
        "select": {"mimes": [], "status": [], "records_per_unit": 20},
    }
    questions = str(shared_data / "mmlu" / "val.jsonl.gz")
    recipe = {
        "name": "whole",
        "storage": "runs",
        "sources": [source],
        "language": {"keep": [], "threshold": 0},
        "filters": dict.fromkeys(("gopher_repetition", "gopher_quality", "c4", "fineweb")),
        "spans": {"min_tokens": 8, "min_chars": 1, "partitions": 3},
        "paragraphs": {"max_documents": 1, "min_chars": 1, "min_paragraph_chars": 1, "partitions": 3},
        "decontaminate": {"sets": [{"name": "mmlu", "paths": [questions], "fields": ["question", "choices"]}]},
        "resources": {"cpus": 2},
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return tmp_path


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    with (folder / "output.txt").open("w") as output:
        command = [sys.executable, "-m", "crawl2chat", *arguments]
        return subprocess.Popen(command, cwd=folder, env=environment, text=True, stdout=output, stderr=output)


def finish(folder: Path, *arguments: str) -> None:
    assert start(folder, *arguments).wait(300) == 0, (folder / "output.txt").read_text()


def kill_when(reached: Callable[[], bool], folder: Path, *arguments: str) -> None:
    process = start(folder, *arguments)
    deadline = time.monotonic() + 120
    while not reached():
        assert process.poll() is None, (folder / "output.txt").read_text()
        assert time.monotonic() < deadline, arguments
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def contents(folder: Path) -> tuple[Manifest, dict[str, bytes]]:
    """A finished folder's manifest, and the bytes of the files that it names."""
    made = read_manifest(folder)
    assert made is not None
    return made, {entry.path: (folder / entry.path).read_bytes() for entry in made.files}


def test_killed_while_working_and_started_again_it_writes_the_same_files(shop: Path) -> None:
    finish(shop, "data", "recipe.yaml")
    whole, killed = shop / "runs" / "whole", shop / "runs" / "killed"
    again = ("data", "recipe.yaml", "--set", "name=killed")
    for stage, first_unit in {
        "extract": "extract/units/cc.index-*.json",  # the selection's, before any record is fetched
        "spans": "spans/anchors/units/*.json",
        "paragraphs": "paragraphs/counts/units/*.json",
        "decontaminate": "decontaminate/matches/units/*.json",
    }.items():
        kill_when(lambda pattern=first_unit: any(killed.glob(pattern)), shop, *again)
        assert read_manifest(killed / stage) is None, f"{stage} was finished before the kill"
    finish(shop, *again)
    for stage in STAGES:
        (expected, files), (made, found) = contents(whole / stage), contents(killed / stage)
        assert found == files and len(files) > 2
        assert made.counters == expected.counters
    for stage in ("spans", "paragraphs"):
        assert contents(whole / stage)[0].counters["documents_cut"] > 0, f"or the kill in {stage} shows little"

    out = shop / "partly"
    partly = ("data", "export", "--run", "runs/killed", "--out", "partly", "--format", "jsonl")
    kill_when(lambda: any(out.glob("units/*.json")), shop, *partly)
    assert read_manifest(out) is None, "the export was finished before the kill"
    finish(shop, *partly)
    finish(shop, "data", "export", "--run", "runs/whole", "--out", "entirely", "--format", "jsonl")
    (expected, files), (made, found) = contents(shop / "entirely"), contents(out)
    assert found == files and len(files) > 2
    assert made.counters == expected.counters
