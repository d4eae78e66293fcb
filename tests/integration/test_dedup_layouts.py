"""An attempt at deduplication that goes on with other partitions and passes than it began with: the same bytes."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from crawl2chat.core.manifest import FILE_NAME, Manifest
from crawl2chat.core.run import Run
from crawl2chat.core.runner import bring_up_to_date
from crawl2chat.core.settings_data import Dedup
from crawl2chat.dedup.dedup_stage import DEDUP

pytestmark = pytest.mark.ray
Make = Callable[..., Run]

ORDER = ["edges", "forests", "stars", "components", "routed", "sketches", "fates", "samples", "units", "index"]


def dedup(run: Run) -> Manifest:
    [(_, manifest)] = bring_up_to_date([DEDUP], run, nullcontext)
    return manifest


def documents() -> list[tuple[str, str]]:
    """Twenty pages of random words, each with five copies in which some words are others: chains of candidates."""
    dice = random.Random(11)
    found = []
    for page in range(20):
        words = [f"w{dice.randrange(2000)}" for _ in range(80)]
        for copy in range(6):
            words[dice.randrange(80)] = f"x{dice.randrange(10**6)}"
            found.append((f"{page}-{copy}", " ".join(words)))
    return found


def files(run: Run, *folders: str) -> dict[str, bytes]:
    """What these folders hold, without the records of how it was made."""
    root = run.stage("dedup")
    found = [path for name in folders for path in (root / name).rglob("*") if path.is_file() and path.suffix != ".json"]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}


def killed_in(run: Run, name: str, *lost: str) -> None:
    """Leave what a kill in this pass leaves: nothing of later ones, and of its own all but `lost`."""
    folder = run.stage("dedup")
    for later in [*ORDER[ORDER.index(name) + 1 :], "clusters", "dropped", "index-units", FILE_NAME]:
        path = folder / later
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    for pattern in lost:
        gone = list(folder.glob(pattern))
        assert gone, f"the attempt left no {pattern}"
        for path in gone:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def other(run: Run, **settings: object) -> Run:
    changed = Dedup.model_validate(run.recipe.dedup.model_dump() | settings)
    return Run(run.recipe.model_copy(update={"dedup": changed}))


@pytest.mark.slow
def test_other_partitions_and_passes_mix_nothing(
    local_ray: None, extracted: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in the forests, in the stars and before the end, each time going on with another layout.

    One band: a pair stands in one file of edges, and is lost with it.
    """
    monkeypatch.setattr("crawl2chat.dedup.clusters.FAN_IN", 4)
    monkeypatch.setattr("crawl2chat.dedup.dedup_stage.EDGES_A_PARTITION", 200)
    once: dict[str, Any] = {"bands": 1, "rows": 2}
    whole = extracted("whole", documents(), units=3, dedup=once | {"partitions": 2})
    assert dedup(whole).counters["dropped.minhash_duplicate"] > 40
    expected = files(whole, "clusters", "dropped")
    assert len(expected) == 6

    run = extracted("killed", documents(), units=3, dedup=once | {"partitions": 6, "cluster_nodes": 100})
    dedup(run)
    for pass_, lost, layout in (
        ("stars", ("stars/000/units/star-00001.json", "stars/00[1-9]"), {"partitions": 3, "passes": 2}),
        ("forests", ("forests/units/0-00001.json",), {"partitions": 5, "passes": 1}),
        ("stars", ("stars/001/units/star-00000.json", "stars/00[2-9]"), {"partitions": 6, "passes": 1}),
        ("fates", ("fates/units/part-00000.json",), {"partitions": 2, "passes": 3, "cluster_nodes": 10**6}),
    ):
        killed_in(run, pass_, *lost)
        dedup(other(run, **layout))
        assert files(run, "clusters", "dropped") == expected, (pass_, layout)


def test_an_index_is_of_the_partitions_that_it_names(local_ray: None, extracted: Make) -> None:
    """Killed when the keys were written, before index.json."""
    expected = extracted("five", documents(), units=3, dedup={"partitions": 5, "write_index": True})
    dedup(expected)
    run = extracted("three", documents(), units=3, dedup={"partitions": 3, "write_index": True})
    dedup(run)
    for name in (FILE_NAME, "index/index.json"):
        (run.stage("dedup") / name).unlink()
    dedup(other(run, partitions=5))
    found = files(run, "index", "clusters", "dropped")
    keys_and_seen, sketches, names, ledgers = 2 * 5, 3, 1, 6
    assert found == files(expected, "index", "clusters", "dropped")
    assert len(found) == keys_and_seen + sketches + names + ledgers
    index = Path("index") / "index.json"
    assert (run.stage("dedup") / index).read_bytes() == (expected.stage("dedup") / index).read_bytes()
