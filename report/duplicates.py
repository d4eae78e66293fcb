"""What deduplication found: sizes of clusters, its S-curve, and how right the sampled pairs were."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..core.banding import collision_probability
from ..core.manifest import Manifest
from ..dedup.cluster_sizes import cluster_sizes

_BUCKETS = (2, 3, 4, 5, 8, 16, 32, 64, 128, 256, 1024)  # the first sizes; the last bucket is open


@dataclass(frozen=True)
class Duplicates:
    """`sizes`: members of a cluster in words, and how many clusters. `curve`: similarity, probability to be found."""

    documents: int  # that came in
    removed: Mapping[str, int]  # by reason
    clusters: int
    largest: int | None
    sizes: list[tuple[str, int]]
    curve: list[tuple[float, float]]
    bands: int
    rows: int
    threshold: float
    precision: Mapping[str, Any]
    sources: Mapping[str, Mapping[str, int]]  # in, left


def read_duplicates(folder: Path, manifest: Manifest) -> Duplicates:
    """Of the stage `dedup`. Reads its files clusters/."""
    count, facts = manifest.counters, manifest.facts
    _, members = cluster_sizes(manifest.paths(folder, "clusters/"))
    bands, rows = int(facts.get("bands", 0)), int(facts.get("rows", 0))
    largest = count.get("largest_cluster")
    return Duplicates(
        documents=int(count.get("documents_in", 0)),
        removed={key.removeprefix("dropped."): int(n) for key, n in count.items() if key.startswith("dropped.") and n},
        clusters=int(count.get("clusters", len(members))),
        largest=None if largest is None else int(largest),
        sizes=_histogram(members),
        curve=[(at / 100, collision_probability(at / 100, bands, rows)) for at in range(0, 101, 2)] if rows else [],
        bands=bands,
        rows=rows,
        threshold=float(manifest.config.get("dedup", {}).get("threshold", 0)),
        precision=facts.get("precision", {}),
        sources=facts.get("sources", {}),
    )


def _histogram(members: np.ndarray) -> list[tuple[str, int]]:
    """Clusters by size: 2, 3, 4, 5–7, 8–15, …, without what stands empty at the end."""
    if not len(members):
        return []
    found = []
    for low, high in zip(_BUCKETS, [*_BUCKETS[1:], None], strict=True):
        here = int(((members >= low) & (members < (high or np.inf))).sum())
        words = f"{low:,}+" if high is None else str(low) if high == low + 1 else f"{low}–{high - 1}"
        found.append((words, here))
    while found and not found[-1][1]:
        found.pop()
    return found
