"""Why two deduplications keep other documents: each difference by its kind.

below the threshold    theirs removed it for a cluster mate that is less similar than the threshold, or for one
                       that ours removed: all mates that ours keeps are less similar
survivor choice        one cluster on both sides, another member of it stays
ours missed it         a cluster mate that ours keeps is similar, and no band of ours agrees
theirs missed it       similar, and no bucket of theirs has both
other words            similar by our words, less by theirs, and no bucket of theirs has both
too short              fewer words than a shingle has: ours compares such texts exactly, theirs keeps them all
unexplained            none of these
"""

from __future__ import annotations

import struct
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from crawl2chat.core.settings_data import Dedup
from crawl2chat.dedup.gates import plain_jaccard, plain_shingles
from crawl2chat.dedup.tables import join_ids, matrix, numbers, read_arrow

KINDS = (
    "below the threshold",
    "survivor choice",
    "ours missed it",
    "theirs missed it",
    "other words",
    "too short",
    "unexplained",
)


class Differences:
    """The two kept sets of one run, and what made them."""

    def __init__(self, run: Path, clusters: Path, settings: Dedup, their_shingles: object) -> None:
        documents = pq.read_table(run / "extract" / "documents", columns=["doc_id", "text"])
        self.ids: list[str] = documents["doc_id"].to_pylist()
        self.texts: dict[str, str] = dict(zip(self.ids, documents["text"].to_pylist(), strict=True))
        self.settings, self.their_shingles = settings, their_shingles
        dropped = pq.read_table(run / "dedup" / "dropped", columns=["doc_id", "detail"])
        self.survivor = dict(zip(dropped["doc_id"].to_pylist(), dropped["detail"].to_pylist(), strict=True))
        self.bands: dict[str, np.ndarray] = {}
        for path in sorted((run / "dedup" / "signatures").glob("*.arrow")):
            table = read_arrow(path)
            ids = join_ids(numbers(table["doc"]), numbers(table["doc_low"]))
            self.bands |= dict(zip(ids, matrix(table["bands"]), strict=True))
        rows = struct.iter_unpack("<II", (clusters / "000000.clusters").read_bytes())
        self.cluster = {self.ids[row]: number for row, number in rows}
        self.mates: dict[int, list[str]] = defaultdict(list)
        for one, number in self.cluster.items():
            self.mates[number].append(one)

    def kinds(self, ours: set[str], theirs: set[str]) -> dict[str, Counter[str]]:
        """For the documents that only one side keeps, how many there are of each kind."""
        self.stays = {self.cluster[one]: one for one in theirs if one in self.cluster}
        return {
            "only ours": Counter(self._only_ours(one, ours) for one in ours - theirs),
            "only theirs": Counter(self._only_theirs(one) for one in theirs - ours),
        }

    def _only_ours(self, one: str, ours: set[str]) -> str:
        number = self.cluster[one]  # it has one, as theirs removed it
        if self.survivor.get(self.stays[number]) == one:
            return "survivor choice"
        similar = [mate for mate in self.mates[number] if mate != one and mate in ours and self._similar(one, mate)]
        if not similar:
            return "below the threshold"
        met = any((self.bands[one] == self.bands[mate]).any() for mate in similar)
        return "unexplained" if met else "ours missed it"

    def _only_theirs(self, one: str) -> str:
        kept = self.survivor[one]
        if one in self.cluster and self.cluster[one] == self.cluster.get(kept):
            return "survivor choice"
        if not plain_shingles(self.texts[one], self.settings):
            return "too short"
        if not self._similar(one, kept):
            return "unexplained"
        left, right = (set(self.their_shingles(self.texts[x]).ravel().tolist()) for x in (one, kept))  # type: ignore
        alike = len(left & right) / max(1, len(left | right))
        return "theirs missed it" if alike >= self.settings.threshold else "other words"

    def _similar(self, one: str, other: str) -> bool:
        return plain_jaccard(self.texts[one], self.texts[other], self.settings) >= self.settings.threshold
