"""Sizes of clusters from many files: as counted one by one, and without adding up all that is known for each file."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crawl2chat.core.schema import CLUSTER, doc_id
from crawl2chat.dedup import cluster_sizes as module
from crawl2chat.dedup.hash_parts import add_counts
from crawl2chat.dedup.tables import split_ids


@pytest.mark.parametrize("fold", [1, 50, 1 << 20])
def test_sizes_are_those_of_counting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fold: int) -> None:
    """A cluster whose best member is in no file counts one more: it stands in the index."""
    added: list[int] = []

    def counted(hashes: np.ndarray, counts: np.ndarray) -> Any:
        added.append(len(hashes))
        return add_counts(hashes, counts)

    monkeypatch.setattr(module, "_FOLD", fold)
    monkeypatch.setattr(module, "add_counts", counted)
    dice, expected = random.Random(1), Counter[str]()
    best = [doc_id("web", f"best {number}") for number in range(40)]
    paths = [tmp_path / f"web-{number:05d}.parquet" for number in range(60)]
    for at, path in enumerate(paths):
        rows = [(doc_id("web", f"{at} {number}"), dice.choice(best)) for number in range(10)]
        rows += [(best[at], best[at])] if at < 30 else []  # the other ten best are in the index
        expected.update(cluster for _, cluster in rows)
        table = [{"doc_id": one, "cluster": cluster, "keep": one == cluster} for one, cluster in rows]
        pq.write_table(pa.Table.from_pylist(table, schema=CLUSTER), path)
    expected.update(one for one in best[30:] if expected[one])
    halves, members = module.cluster_sizes(paths)
    wanted = {int(split_ids([one])[0][0]): number for one, number in expected.items()}
    assert dict(zip(halves.tolist(), members.tolist(), strict=True)) == wanted
    assert (np.diff(halves.astype(object)) > 0).all() and members.dtype == np.int64
    assert sum(added) <= 5 * (60 * 10 + 30), "what was added up before was added up again for each file"


def test_without_clusters_there_are_no_sizes() -> None:
    assert [len(column) for column in module.cluster_sizes([])] == [0, 0]
