"""How many members the clusters of a finished deduplication have. In memory are some 24 bytes a cluster."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from ..core.documents import strings
from .tables import split_ids


def cluster_sizes(paths: Iterable[Path]) -> tuple[np.ndarray, np.ndarray]:
    """clusters/*.parquet: clusters by the first half of the doc_id that stays, sorted, and their numbers of members."""
    halves, members = np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.int64)
    present = np.zeros(0, dtype=np.uint64)
    for table in map(pq.read_table, paths):
        ids, clusters = (split_ids(strings(table[name]))[0] for name in ("doc_id", "cluster"))
        some, counts = np.unique(clusters, return_counts=True)
        both, place = np.unique(np.concatenate([halves, some]), return_inverse=True)
        total = np.zeros(len(both), dtype=np.int64)
        np.add.at(total, place, np.concatenate([members, counts]))
        halves, members = both, total
        present = np.union1d(present, ids[ids == clusters])
    return halves, members + ~np.isin(halves, present)  # one that stays and is in no file is in the index
