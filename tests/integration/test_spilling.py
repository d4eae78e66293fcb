"""A shuffle of some 240 MB of rows on a node with a store of objects of 80 MB, and 400 MB of memory for tasks.

Ray would give all rows to one task, and ask for twice their size as its memory: no node ever has that, and it waits.
"""

from __future__ import annotations

import json
import random
import re
import sys
from pathlib import Path

import pytest
import yaml
from crawl2chat.cli import main
from crawl2chat.core.manifest import read_manifest

from .raylets import raylets

pytestmark = [pytest.mark.ray, pytest.mark.failure]
FILES, PAGES, BANDS = 16, 750, 1000
STORE, MEMORY = 80 << 20, 400 << 20
SECONDS = 240  # a shuffle that stands still never ends


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """recipe.yaml: pages of random words, one in ten of them a copy of another with some words replaced."""
    dice = random.Random(7)
    texts: list[list[str]] = []
    for page in range(FILES * PAGES):
        words = [f"w{dice.randrange(5000)}" for _ in range(60)]
        if page % 10 == 9:
            words = [f"new{page}", *dice.choice(texts)[1:]]
        texts.append(words)
    for number in range(FILES):
        rows = [json.dumps({"text": " ".join(words)}) for words in texts[number::FILES]]
        (tmp_path / f"pages-{number:02}.jsonl").write_text("\n".join(rows) + "\n")
    recipe = {
        "name": "small",
        "storage": "runs",
        "sources": [{"kind": "jsonl", "name": "pages", "paths": ["*.jsonl"]}],
        "language": {"keep": [], "threshold": 0},
        "filters": dict.fromkeys(("gopher_repetition", "gopher_quality", "c4", "fineweb")),
        "dedup": {"bands": BANDS, "rows": 2, "partitions": 8},
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return tmp_path


def test_rows_that_do_not_fit_a_node_come_by_way_of_the_disk(
    local_ray: None, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with raylets() as ray:
        ray.add(**{"num-cpus": 2, "object-store-memory": STORE, "memory": MEMORY})
        process = ray.start([sys.executable, "-m", "crawl2chat", "data", "recipe.yaml"], shop)
        output, _ = process.communicate(timeout=SECONDS)
        told = ray.told("raylet*.out")
    assert process.returncode == 0, output
    monkeypatch.chdir(shop)
    assert main(["data", "recipe.yaml", "--set", "name=large"]) == 0, "on a node with room for them"
    small, large = (read_manifest(shop / "runs" / name / "dedup") for name in ("small", "large"))
    assert small is not None and large is not None
    assert small.digest == large.digest and small.counters == large.counters
    assert small.counters["dropped.minhash_duplicate"] > FILES * PAGES // 20
    rows = FILES * PAGES * (BANDS + 2)
    assert 20 * rows > max(2.5 * STORE, MEMORY / 2), "or the node has room for them"
    assert max((int(one) for one in re.findall(r"Spilled (\d+) MiB", told)), default=0) > 50
