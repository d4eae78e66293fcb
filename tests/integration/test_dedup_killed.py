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
TRIES = 3  # at a kill inside a pass that the machine was through with before we looked

# the pass, what shows that it has begun, and what it leaves only when it is over, below dedup/
PASSES = (
    ("known", "known/*", "known/done.json"),
    ("urls", "urls/*", "urls/done.json"),
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


def row_of(page: int, edits: int, month: str) -> dict[str, str]:
    """The page's record. An even page has its id in both months, one in five has one URL whatever its edits."""
    url = f"http://pages.test/{page}" if page % 5 == 0 else f"http://pages.test/{page}/{edits}/{month}"
    name = f"{page}-{edits}" if page % 2 == 0 else f"{page}-{edits}-{month}"
    return {"id": name, "url": url, "text": text_of(page, edits)}


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """february.yaml, with the index of January's run: pages of January again, and new ones, each with copies."""
    monkeypatch.chdir(tmp_path)
    rule: dict[str, Any] = {"write_index": True, "partitions": 12, "url": True, "gates": {"max_removed": 1.0}}
    added = {"index": "runs/january/dedup/index", "known": "drop", "passes": 2, "cluster_nodes": 100}
    for month, first, copies, more in (
        ("january", 0, (0, 1, 3), {}),
        ("february", PAGES // 2, (0, 2, 4), added),
    ):
        Path(month).mkdir()
        for number in range(FILES):  # a page is in the file of the same name in both months, so that it is known again
            pages = [page for page in range(first, first + PAGES) if page % FILES == number]
            rows = [json.dumps(row_of(page, edits, month)) for page in pages for edits in copies]
            Path(f"{month}/pages-{number:02}.jsonl").write_text("\n".join(rows) + "\n")
        source = {"kind": "jsonl", "name": "pages", "paths": [f"{month}/*.jsonl"], "id": "id", "url": "url"}
        made: dict[str, Any] = {"name": month, "storage": "runs", "sources": [source]}
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


def kill_inside(folder: Path, name: str, begun: str, over: str) -> None:
    """The same until the kill comes inside the pass, each time from what stood there before it."""
    made, before = folder / "runs" / "killed" / "dedup", folder / f"before-{name}"
    if made.exists():
        shutil.copytree(made, before, ignore=shutil.ignore_patterns(".*"))  # what a worker is about to rename may go
    for _ in range(TRIES):
        if killed_inside(folder, begun, over):
            return
        shutil.rmtree(made)
        if before.exists():
            shutil.copytree(before, made)
    pytest.fail(f"{TRIES} times the command was through with the pass {name} before it was killed")


def test_killed_inside_each_pass_it_goes_on_to_the_same_bytes(local_ray: None, recipe: Path) -> None:
    assert main(["data", "january.yaml"]) == 0
    assert main(["data", "february.yaml"]) == 0
    for name, begun, over in PASSES:
        kill_inside(recipe, name, begun, over)
    assert start(recipe, "killed").wait(120) == 0, (recipe / "output.txt").read_text()

    folders = [recipe / "runs" / name / "dedup" for name in ("february", "killed")]
    whole, found = (read_manifest(folder) for folder in folders)
    assert whole is not None and found is not None
    assert found.counters == whole.counters and found.facts == whole.facts and found.digest == whole.digest
    for entry in whole.files:
        one, other = ((folder / entry.path).read_bytes() for folder in folders)
        assert one == other, entry.path
    left = {name.partition(".")[2]: count for name, count in whole.counters.items() if name.startswith("dropped.")}
    assert left["known_document"] == PAGES // 4, "the even ones of the pages of both months, unchanged"
    assert left["url_duplicate"] > 15 and left["minhash_duplicate"] > PAGES and left["exact_duplicate"] > 10, left
    measured = whole.facts["precision"]
    assert 0 < measured["comparable"] < measured["removed"], "some have their survivor in the index"
    assert measured["pairs"] == measured["similar"] == measured["comparable"]
    assert list((folders[1] / "stars").glob("002")), "the components were found in files"
