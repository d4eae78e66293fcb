"""SIGKILL to the command inside each pass of deduplication, adding to an index; and the same command once more.

What stands there in the end is, file by file and byte by byte, what an undisturbed run writes. The commands join the
test session's Ray, which goes on: workers of a killed one may write for a moment longer.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from crawl2chat.cli import main
from crawl2chat.core.manifest import read_manifest

pytestmark = [pytest.mark.ray, pytest.mark.slow]

PAGES, FILES = 60, 12

# the pass, what shows that it has begun, and what it leaves only when it is over, below dedup/
PASSES = (
    ("signatures", "signatures/units/*.json", "edges"),
    ("edges", "edges/1-of-2", "edges/2-of-2/done.json"),
    ("components", "forests/units/*.json", "components/units/*.json"),
    ("sketches", "routed/units/*.json", "fates"),
    ("fates", "fates/units/*.json", "samples"),
    ("ledgers", "units/*.json", "index/sketches/001"),
    ("index", "index/sketches/001/*.arrow", "index/index.json"),
)


def text_of(page: int, edits: int) -> str:
    """A page of words of its own, of which the first are replaced."""
    dice = random.Random(page)
    words = [f"w{dice.randrange(3000)}" for _ in range(90)]
    return " ".join([f"new{page}x{at}" for at in range(edits)] + words[edits:])


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """february.yaml, with the index of January's run: pages of January again, and new ones, each with copies."""
    monkeypatch.chdir(tmp_path)
    sources = {}
    for month, first, copies in (("january", 0, (0, 1, 3)), ("february", PAGES // 2, (0, 2, 4))):
        sources[month] = {"kind": "jsonl", "name": month, "paths": [f"{month}-*.jsonl"]}
        rows = [json.dumps({"text": text_of(page, edits)}) for page in range(first, first + PAGES) for edits in copies]
        for number in range(FILES):
            Path(f"{month}-{number:02}.jsonl").write_text("\n".join(rows[number::FILES]) + "\n")
    rule: dict[str, Any] = {"write_index": True, "partitions": 12, "gates": {"max_removed": 1.0}}
    for month, more in (
        ("january", {}),
        ("february", {"index": "runs/january/dedup/index", "passes": 2, "cluster_nodes": 100}),
    ):
        made: dict[str, Any] = {"name": month, "storage": "runs", "sources": [sources[month]]}
        made |= {"language": {"keep": [], "threshold": 0}, "dedup": rule | more}
        made |= {"filters": dict.fromkeys(("gopher_repetition", "gopher_quality", "c4", "fineweb"))}
        Path(f"{month}.yaml").write_text(yaml.safe_dump(made))
    return tmp_path


def start(folder: Path, name: str) -> subprocess.Popen[str]:
    import ray

    address = ray.get_runtime_context().gcs_address
    with (folder / "output.txt").open("w") as output:
        command = [sys.executable, "-m", "crawl2chat", "data", "february.yaml", "--set", f"name={name}"]
        environment = os.environ | {"RAY_ADDRESS": address}
        return subprocess.Popen(command, cwd=folder, env=environment, text=True, stdout=output, stderr=output)


def killed_inside(folder: Path, begun: str, over: str) -> bool:
    """Kill the command as soon as the pass has begun; whether it had not ended by then."""
    made = folder / "runs" / "killed" / "dedup"
    process = start(folder, "killed")
    deadline = time.monotonic() + 120
    while not any(made.glob(begun)):
        assert process.poll() is None, (folder / "output.txt").read_text()
        assert time.monotonic() < deadline, begun
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    return not any(made.glob(over)) and read_manifest(made) is None


def test_killed_inside_each_pass_it_goes_on_to_the_same_bytes(local_ray: None, recipe: Path) -> None:
    assert main(["data", "january.yaml"]) == 0
    assert main(["data", "february.yaml"]) == 0
    inside = []
    for name, begun, over in PASSES:
        caught = killed_inside(recipe, begun, over)
        if not caught:  # the machine was quicker than we looked: once more from where the pass begins
            shutil.rmtree(recipe / "runs" / "killed" / "dedup" / begun.partition("/")[0])
            for later in ("manifest.json", "index", "units", "samples", "fates", over.partition("/")[0]):
                path = recipe / "runs" / "killed" / "dedup" / later
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            caught = killed_inside(recipe, begun, over)
        inside += [name] if caught else []
    assert len(inside) >= len(PASSES) - 1, f"only inside {inside} the command was killed"
    assert start(recipe, "killed").wait(120) == 0, (recipe / "output.txt").read_text()

    folders = [recipe / "runs" / name / "dedup" for name in ("february", "killed")]
    whole, found = (read_manifest(folder) for folder in folders)
    assert whole is not None and found is not None
    assert found.counters == whole.counters and found.facts == whole.facts and found.digest == whole.digest
    for entry in whole.files:
        one, other = ((folder / entry.path).read_bytes() for folder in folders)
        assert one == other, entry.path
    assert whole.counters["dropped.minhash_duplicate"] > PAGES and whole.counters["dropped.exact_duplicate"] > 10
    measured = whole.facts["precision"]
    assert 0 < measured["comparable"] < measured["removed"], "some have their survivor in the index"
    assert measured["pairs"] == measured["similar"] == measured["comparable"]
    assert list((folders[1] / "stars").glob("002")), "the components were found in files"
