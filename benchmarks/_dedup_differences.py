"""Why two deduplications keep other documents: each difference by its kind.

Only ours keeps a document, theirs removed it:

below the threshold    no cluster mate of theirs is as similar as the threshold, by the runs of words themselves
survivor choice        what theirs kept left with ours for the sake of this document
chain cut              mates are similar, but left with ours too, for this document, or for others that are less similar
                       to it than the threshold
ours missed it         a mate that ours keeps, or the one that stays for it, is similar, and no band of ours agrees

Only theirs keeps it, ours removed it for one that is similar, which is computed again:

survivor choice        both are in one cluster of theirs, and it is the member that stays
theirs missed it       similar by their words too, and no bucket of their signatures agrees: chance of their hashes
other words            similar by our words, less by theirs, and no bucket of theirs agrees
too short              no shingle on either side: ours compares such texts exactly, theirs keeps them all

Their signatures are computed again from the texts. What fits none of these is unexplained.
"""

from __future__ import annotations

import struct
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from crawl2chat.core.settings_data import Dedup
from crawl2chat.dedup.gates import plain_jaccard, plain_shingles
from crawl2chat.dedup.tables import join_ids, matrix, numbers, read_arrow

KINDS = (
    "below the threshold",
    "chain cut",
    "survivor choice",
    "ours missed it",
    "theirs missed it",
    "other words",
    "too short",
    "unexplained",
)


class Differences:
    """The two kept sets of one run, and what made them."""

    def __init__(self, run: Path, clusters: Path, settings: Dedup, their_step: Any) -> None:
        """clusters: the folder of datatrove's third stage; their_step: its first, of the same parameters."""
        documents = pq.read_table(run / "extract" / "documents", columns=["doc_id", "text"])
        self.ids: list[str] = documents["doc_id"].to_pylist()
        self.texts: dict[str, str] = dict(zip(self.ids, documents["text"].to_pylist(), strict=True))
        self.settings, self.step = settings, their_step
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
        number = self.cluster.get(one)
        if number is None or number not in self.stays:
            return "unexplained"  # theirs has no reason to have removed it
        if self.survivor.get(self.stays[number]) == one:
            return "survivor choice"
        similar = [mate for mate in self.mates[number] if mate != one and self._similar(one, mate)]
        if not similar:
            return "below the threshold"
        stay = {mate if mate in ours else self.survivor[mate] for mate in similar} - {one}
        alike = [mate for mate in stay if self._similar(one, mate)]
        if any((self.bands[one] == self.bands[mate]).any() for mate in alike):
            return "unexplained"  # ours had this pair, so one of the two should have left
        return "ours missed it" if alike else "chain cut"

    def _only_theirs(self, one: str) -> str:
        kept = self.survivor[one]
        number = self.cluster.get(one)
        if number is not None and number == self.cluster.get(kept):
            return "survivor choice" if self.stays[number] == one else "unexplained"
        (mine, my_buckets), (other, other_buckets) = (self._theirs(text) for text in (one, kept))
        if not plain_shingles(self.texts[one], self.settings):
            return "too short" if not mine else "unexplained"
        agree = any(a == b for a, b in zip(my_buckets, other_buckets, strict=False))
        if agree or not self._similar(one, kept):
            return "unexplained"
        alike = len(mine & other) / max(1, len(mine | other))
        return "theirs missed it" if alike >= self.settings.threshold else "other words"

    def _theirs(self, one: str) -> tuple[set[int], list[list[int]]]:
        """Their shingles of a document and its signature by buckets, computed again."""
        shingles = self.step.get_shingles(self.texts[one])
        return set(shingles.ravel().tolist()), self.step.get_signature(shingles) if shingles.size else []

    def _similar(self, one: str, other: str) -> bool:
        return plain_jaccard(self.texts[one], self.texts[other], self.settings) >= self.settings.threshold
