"""How many members the clusters of a finished deduplication have. In memory are some 24 bytes a cluster."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from ..core.documents import strings
from .hash_parts import add_counts
from .tables import split_ids

_FOLD = 1 << 20  # members that are held before they are added up


def cluster_sizes(paths: Iterable[Path]) -> tuple[np.ndarray, np.ndarray]:
    """clusters/*.parquet: clusters by the first half of the doc_id that stays, sorted, and their numbers of members."""
    halves, members, present = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)], [np.zeros(0, np.uint64)]
    held = 0
    for table in map(pq.read_table, paths):
        ids, clusters = (split_ids(strings(table[name]))[0] for name in ("doc_id", "cluster"))
        halves.append(clusters)
        members.append(np.ones(len(clusters), np.int64))
        present.append(ids[ids == clusters])
        held += len(clusters)
        if held > max(_FOLD, len(halves[0])):  # what is known already is added up a few times
            one, number, _ = add_counts(np.concatenate(halves), np.concatenate(members))
            halves, members, present, held = [one], [number], [np.concatenate(present)], 0
    one, number, _ = add_counts(np.concatenate(halves), np.concatenate(members))
    return one, number + ~np.isin(one, np.concatenate(present))  # one that stays and is in no file is in the index
