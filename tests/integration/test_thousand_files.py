"""A stage over a thousand files, its command killed ten times: no document is lost, and none is there twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from crawl2chat.core.manifest import read_manifest

pytestmark = [pytest.mark.ray, pytest.mark.failure]
FILES, ROWS, KILLS = 1000, 5, 10
TEXTS = ("The river rose in the night, and nobody in the village had slept.", "Der Fluss stieg in der Nacht an.")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """recipe.yaml over a thousand files, each with four documents in English and one in German, which is dropped."""
    (tmp_path / "pages").mkdir()
    for number in range(FILES):
        rows = [{"text": f"{TEXTS[row == 2]} {number} {row}"} for row in range(ROWS)]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / "pages" / f"{number:04}.jsonl").write_text(lines)
    recipe = {
        "name": "run",
        "storage": "runs",
        "sources": [{"kind": "jsonl", "name": "pages", "paths": ["pages/*.jsonl"]}],
        "language": {"keep": ["en"], "threshold": 0.3},
        "filters": dict.fromkeys(("gopher_repetition", "gopher_quality", "c4", "fineweb")),
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return tmp_path


def start(shop: Path) -> subprocess.Popen[str]:
    """The command, in the test session's Ray: its workers may go on for a moment when it is killed."""
    import ray

    environment = os.environ | {"RAY_ADDRESS": ray.get_runtime_context().gcs_address}
    with (shop / "output.txt").open("w") as output:
        command = [sys.executable, "-m", "crawl2chat", "data", "recipe.yaml"]
        return subprocess.Popen(command, cwd=shop, env=environment, text=True, stdout=output, stderr=output)


def done(shop: Path) -> int:
    """How many units have their record."""
    folder = shop / "runs" / "run" / "extract" / "units"
    return len(list(folder.glob("*.json"))) if folder.exists() else 0


def kill_when(reached: Callable[[], bool], shop: Path) -> None:
    process = start(shop)
    try:
        deadline = time.monotonic() + 120
        while not reached():
            assert process.poll() is None, (shop / "output.txt").read_text()
            assert time.monotonic() < deadline, f"{done(shop)} units"
            time.sleep(0.005)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def test_killed_ten_times_each_document_is_there_once(local_ray: None, shop: Path) -> None:
    folder, reached = shop / "runs" / "run" / "extract", []
    for kill in range(1, KILLS + 1):
        goal = FILES * kill // (KILLS + 1)
        kill_when(lambda goal=goal: done(shop) >= goal, shop)
        reached.append(done(shop))
    print(f"units done at each kill: {reached}")
    assert sum(0 < units < FILES for units in reached) >= 8, reached
    assert reached == sorted(reached), "what was done stays"
    kill_when(lambda: read_manifest(folder) is not None, shop)  # the stages after it are not what this is about

    made = read_manifest(folder)
    assert made is not None
    columns = ["doc_id", "origin_file", "origin_offset"]
    found: dict[str, list[tuple[str, ...]]] = {}
    for kind in ("documents", "dropped"):
        tables = [pq.read_table(path, columns=columns) for path in made.paths(folder, f"{kind}/")]
        assert len(tables) == FILES == len(list((folder / kind).iterdir()))
        found[kind] = [tuple(row.values()) for table in tables for row in table.to_pylist()]
    ids = Counter(one for one, *_ in found["documents"] + found["dropped"])
    assert set(ids.values()) == {1} and ids.total() == FILES * ROWS
    lines = Counter((Path(file).name, line) for _, file, line in found["documents"] + found["dropped"])
    assert lines == Counter((f"{number:04}.jsonl", row) for number in range(FILES) for row in range(1, ROWS + 1))
    assert len(found["dropped"]) == made.counters["dropped.language"] == FILES
