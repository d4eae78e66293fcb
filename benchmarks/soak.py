"""The data stages over one corpus again and again, in one driver and one Ray session: does anything grow?

    python benchmarks/soak.py [--passes 5] [--warcs FOLDER] [--json] [--quick]

Each pass is a run of its own: extract, filter, deduplicate, train a tokenizer, write token shards. After each, the
resident memory of the driver, of the raylet and of the head's gcs_server is read, and at the end by how much they are
larger than when they were smallest: the first pass imports, compiles and fills caches, and is forgiven nothing else.
They are to stay within 10 % of that. Workers come and go, and are not counted. Without --warcs the pages are those of
../shared/data; --quick: two passes.
"""

from __future__ import annotations

import gc
import logging
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from _bench import SHARED, arguments, finish, print_table
from crawl2chat.core.recipe import Recipe
from crawl2chat.core.run import Run
from crawl2chat.core.runner import bring_up_to_date
from crawl2chat.core.session import ray_session
from crawl2chat.core.settings_training import Resources
from crawl2chat.pipelines.stages import group_stages

MOST = 0.10  # that a process may grow
WATCHED = ("raylet", "gcs_server")


def resident_mb() -> dict[str, float]:
    """Of this process, and of the parts of Ray that it has started."""
    gc.collect()
    here = psutil.Process()
    found = {"driver": here.memory_info().rss / 1e6}
    for child in here.children(recursive=True):
        if child.name() in WATCHED:
            found[child.name()] = child.memory_info().rss / 1e6
    return found


def one_pass(warcs: list[str], storage: Path) -> int:
    """A whole run of the data stages, whose folder is removed; how many documents were kept."""
    recipe: dict[str, Any] = {
        "name": "soak",
        "storage": str(storage),
        "sources": [{"kind": "warc", "name": "web", "paths": warcs}],
        "language": {"keep": [], "threshold": 0},
        "dedup": {"gates": {"max_removed": 1.0}},
        "tokenizer": {"vocab_size": 2000},
    }
    run = Run(Recipe.model_validate(recipe))
    stages = [*group_stages(run.recipe, "data"), *group_stages(run.recipe, "tokenizer")]
    for _ in bring_up_to_date(stages, run, lambda: ray_session(run.recipe.resources, storage / "logs")):
        pass
    kept = run.need("dedup").counters["documents"]
    shutil.rmtree(run.folder)
    return int(kept)


def soak(warcs: list[str], passes: int) -> list[dict[str, float]]:
    """Seconds, documents, and memory after each pass."""
    rows = []
    storage = Path(tempfile.mkdtemp(prefix="c2c-soak"))
    try:
        with ray_session(Resources(), storage / "logs"):
            for _ in range(passes):
                began = time.monotonic()
                kept = one_pass(warcs, storage)
                rows.append({"seconds": time.monotonic() - began, "documents": float(kept)} | resident_mb())
    finally:
        shutil.rmtree(storage, ignore_errors=True)
    return rows


def growth(rows: list[dict[str, float]]) -> dict[str, float]:
    """Of each process, by what share the last pass left it larger than the pass before that left it smallest."""
    return {name: rows[-1][name] / min(row[name] for row in rows[:-1]) - 1 for name in ("driver", *WATCHED)}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--warcs", type=Path, metavar="FOLDER", help="of .warc.gz files")
    options = parser.parse_args()
    logging.disable(logging.INFO)
    folder = options.warcs or SHARED / "data" / "debian-multilang-html"
    warcs = sorted(str(path) for path in folder.glob("*.warc.gz"))
    rows = soak(warcs, 2 if options.quick else options.passes)
    head = ("seconds", "documents", "driver", *WATCHED)
    print_table(
        ["pass", *head[:2], *(f"{name} MB" for name in head[2:])],
        [[n, *(row[name] for name in head)] for n, row in enumerate(rows, 1)],
    )
    grown = growth(rows)
    print_table(
        ["process", "grown, %", "within 10 %"], [[name, 100 * one, str(one <= MOST)] for name, one in grown.items()]
    )
    finish({f"{name}_growth": one for name, one in grown.items()} | {"passes": float(len(rows))}, options.json)


if __name__ == "__main__":
    main()
