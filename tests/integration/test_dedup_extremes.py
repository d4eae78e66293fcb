"""The stage `dedup` on corpora at the edge: one bucket of all documents, a text of 100 MB."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from crawl2chat.core.manifest import Manifest
from crawl2chat.core.run import Run
from crawl2chat.core.runner import bring_up_to_date
from crawl2chat.core.schema import doc_id
from crawl2chat.dedup import dedup_stage
from crawl2chat.dedup.dedup_stage import DEDUP
from crawl2chat.dedup.shuffle_stage import shuffle

pytestmark = pytest.mark.ray
Make = Callable[..., Run]
COPIES = 20_000


def dedup(run: Run) -> Manifest:
    [(_, manifest)] = bring_up_to_date([DEDUP], run, nullcontext)
    return manifest


@pytest.mark.slow
def test_a_mapper_gives_one_row_for_a_bucket(local_ray: None, extracted: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """20,000 copies in four units, and another page: of each key of theirs a unit sends one row, and its ids beside."""
    counted: list[int] = []

    def counting(*given: Any) -> list[dict[str, Any]]:
        reports = shuffle(*given)
        counted.append(sum(report["rows"] for report in reports))
        return reports

    monkeypatch.setattr(dedup_stage, "shuffle", counting)
    text = " ".join(f"word{at}" for at in range(40))
    documents = [*((f"{at}", text) for at in range(COPIES)), ("other", " ".join(f"other{at}" for at in range(40)))]
    run = extracted("bucket", documents, units=4, dedup={"gates": {"max_removed": 1.0}, "partitions": 4})
    counters = dedup(run).counters
    assert (counters["documents"], counters["largest_cluster"]) == (2, COPIES)
    keys = run.recipe.dedup.banding[0] + 1  # of a text: its bands, and the whole
    assert counted == [4 * keys + keys + len(documents)], "a row a unit and key, the other page's, one of each id"


@pytest.mark.slow
def test_a_text_of_100_mb(local_ray: None, extracted: Make) -> None:
    """And the same with a word more, in another unit: they are compared like all others."""
    dice = np.random.default_rng(1)
    letters = dice.integers(ord("a"), ord("z") + 1, 100_000_000, dtype=np.uint8)
    letters[dice.random(len(letters)) < 1 / 7] = ord(" ")
    text = letters.tobytes().decode("ascii")
    pages = [(f"{at}", " ".join(f"p{at}x{word}" for word in range(100))) for at in range(20)]
    run = extracted("long", [("long", text), ("longer", f"{text} more"), *pages], units=2)
    counters = dedup(run).counters
    assert counters["dropped"] == counters["dropped.minhash_duplicate"] == 1
    [row] = pq.read_table(run.stage("dedup") / "dropped").to_pylist()
    assert (row["doc_id"], row["detail"]) == (doc_id("web", "long"), doc_id("web", "longer"))
    assert 0.999999 < row["value"] < 1
