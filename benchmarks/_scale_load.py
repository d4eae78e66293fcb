"""What a pass moves and holds in a corpus: rows, bytes, files, objects of Ray, memory of its largest worker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from _scale_passes import (
    DRIVER,
    GROWS,
    INDEX,
    PAGE,
    ROUNDS,
    SHUFFLE,
    Pass,
    Quantities,
    in_files,
    layout,
)
from _scale_profile import Profile
from _scale_shape import MB

ROW, COPIES = 20, 3  # bytes of a row that is shuffled; times an array is in memory while it is sorted
WORKER_MB = 240  # of a worker that does nothing yet
ENGINE_MB = 850  # of a worker of extract with its child (docs/data.md)
TEXTS_MB = 340  # of the texts that are signed at a time: dedup/signatures.py
FULL_MB = 285  # of a full partition of the shuffle (docs/dedup.md)
WINDOW = 28  # bytes of a window: spans_units.py
FOREST = 6e7 * ROUNDS  # edges of which one task joins the stars at most, above dedup.cluster_nodes
NEW_FILE = 3  # times the storage is asked for a file that is written: create, flush, rename


@dataclass(frozen=True)
class Corpus:
    """What is to be run: its quantities, and of its units the bytes of each, where these are known."""

    totals: Quantities
    units: int
    partitions: int | None = None
    sizes: Sequence[float] = ()


@dataclass(frozen=True)
class Load:
    """Of all tasks of a pass; MB of its largest worker."""

    tasks: int
    amount: float
    read: float
    written: float
    shuffled: float
    opens: float  # times that the storage is asked for a file
    files: int
    objects: int
    worker_mb: float


class Loads:
    """The loads of all passes of a corpus."""

    def __init__(self, profile: Profile, corpus: Corpus) -> None:
        self.profile = profile
        self.tasks = layout(corpus.totals, corpus.units, profile.bands, corpus.partitions)
        self.totals = corpus.totals | {"units": float(corpus.units)}
        self.disk = self._bytes()

    def of(self, one: Pass) -> Load:
        tasks = self.tasks[one.tasks]
        if one.name == "components" and in_files(self.totals):
            tasks += self.tasks["star parts"] * (ROUNDS + 1)
        amount = self.totals.get(one.counts, 1.0)
        shuffles = one.tasks == SHUFFLE
        others = sum(self.tasks[name] for name in one.opens)
        return Load(
            tasks=tasks,
            amount=amount,
            read=sum(self.disk.get(name, 0.0) for name in one.reads) + self._searched(one, tasks),
            written=sum(self.disk[name] for name in one.writes),
            shuffled=amount * ROW if shuffles else 0.0,
            opens=float(tasks * (others + len(one.reads) + NEW_FILE * (len(one.writes) + 1))),
            files=self._files(one, tasks),
            objects=self.tasks["units"] * tasks if shuffles else tasks,
            worker_mb=WORKER_MB + self._held(one) / MB,
        )

    def component_bytes(self) -> float:
        """Sketches of the largest component, which one worker decides, if it grows as the documents do."""
        known = self.profile
        largest = known.facts["largest component"] * self.totals["documents"] / max(known.totals["documents"], 1.0)
        return largest * known.disk["dedup/sketches"] / max(known.totals["candidates"], 1.0)

    def _bytes(self) -> dict[str, float]:
        """Bytes of each folder: with the quantity that it grows with, and where each partition begins in each file."""
        found = {}
        for name, quantity in GROWS.items():
            known = self.profile.totals.get(quantity)
            times = self.totals[quantity] / max(known, 1.0) if known is not None else 1.0
            found[name] = self.profile.disk[name] * times
        found["dedup/sketches"] += self.tasks["units"] * (self.tasks["parts"] + 1) * INDEX
        found["dedup/routed"] += self.tasks["groups"] * (self.tasks["parts"] + 1) * INDEX
        return found

    def _searched(self, one: Pass, tasks: int) -> float:
        """Bytes of mapped files that searches touch, in each task: a page for each row, at most the whole files."""
        own = {name: self.totals.get(rows, 0.0) / max(tasks, 1) * PAGE for name, rows in one.maps}
        return sum(tasks * min(self.disk[name], pages) for name, pages in own.items())

    def _files(self, one: Pass, tasks: int) -> int:
        """Files that the pass leaves: as many for each task as were measured, and its record."""
        timed = self.profile.passes[one.key]
        each = sum(self.profile.files[name] for name in one.writes) / max(timed.tasks, 1)
        if one.tasks == SHUFFLE:
            return tasks + 1
        return round(each * tasks) + (0 if one.tasks == DRIVER else tasks)

    def _held(self, one: Pass) -> float:
        """Bytes of the arrays that a task holds, calculated; of extract and the shuffle, measured."""
        count, disk = self.totals, self.disk
        mine = max(self.tasks[one.tasks], 1)
        windows = COPIES * count.get("windows", 0.0) / mine * WINDOW
        held = {
            "extract/extract": (ENGINE_MB - WORKER_MB) * MB,
            "dedup/signatures": TEXTS_MB * MB + 2 * disk["dedup/signatures"] / mine,
            "dedup/edges": FULL_MB * MB,
            "dedup/components": COPIES * min(count["edges"], FOREST) / mine * 24,
            "dedup/routed": COPIES * count["edges"] / mine * 24,
            "dedup/sketches": 2 * disk["dedup/sketches"] / mine,
            "dedup/fates": 2 * max(disk["dedup/sketches"] / mine, self.component_bytes()),
            "spans/anchors": COPIES * min(1 << 22, count.get("anchors", 0.0) / mine) * 16,
            "spans/repeated": COPIES * count.get("anchors", 0.0) / mine * 16,
            "spans/windows": windows,
            "spans/places": windows,
            "spans/cut": windows,
            "paragraphs/counts": COPIES * min(1 << 22, count.get("lines", 0.0) / mine) * 16,
            "paragraphs/frequent": COPIES * count.get("lines", 0.0) / mine * 20,
            "tokenizer/train": 15 * count.get("sample bytes", 0.0),  # pieces of words with their counts
        }
        return held.get(one.key, 0.0)
