"""From a profile, a corpus and a cluster: each pass's tasks, rows, bytes, memory, files, objects and hours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from _scale_passes import (
    DRIVER,
    GROWS,
    INDEX,
    PAGE,
    PASSES,
    ROUNDS,
    SHUFFLE,
    STARS,
    Pass,
    Quantities,
    in_files,
    layout,
)
from _scale_profile import Profile, Timed
from _scale_queue import run_tasks, spread_work
from _scale_shape import MB, Cluster, Costs

ROW, COPIES = 20, 3  # bytes of a row that is shuffled; times an array is in memory while it is sorted
WORKER_MB = 240  # of a worker that does nothing yet
ENGINE_MB = 850  # of a worker of extract with its child (docs/data.md)
TEXTS_MB = 340  # of the texts that are signed at a time: dedup/signatures.py
FULL_MB = 285  # of a full partition of the shuffle (docs/dedup.md)
WINDOW = 28  # bytes of a window: spans_units.py


@dataclass(frozen=True)
class Row:
    """A pass as the simulation has it. Bytes are of all tasks; MB of the largest worker, and of the driver."""

    stage: str
    name: str
    tasks: int
    counts: str
    amount: float
    read: float
    written: float
    shuffled: float
    worker_mb: float
    driver_mb: float
    files: int
    objects: int
    core_hours: float
    hours: float
    bound: str  # what the hours are made of: cores, driver, storage, opens, network
    lost: int = 0


@dataclass(frozen=True)
class Corpus:
    """What is to be run: its quantities, and of its units the bytes of each, where these are known."""

    totals: Quantities
    units: int
    partitions: int | None = None
    sizes: Sequence[float] = ()


def simulate(
    profile: Profile, corpus: Corpus, cluster: Cluster, costs: Costs, seed: int = 1, queue: bool = True
) -> list[Row]:
    """Every pass that the profile's run had, in its order. Without `queue` the hours are those of equal tasks and no
    failures, in closed form."""
    tasks = layout(corpus.totals, corpus.units, profile.bands, corpus.partitions)
    disk = _disk(profile, corpus.totals, tasks)
    dice = np.random.default_rng(seed)
    known = [one for one in PASSES if one.key in profile.passes]
    return [_row(one, profile, corpus, cluster, costs, tasks, disk, dice if queue else None) for one in known]


def _disk(profile: Profile, totals: Quantities, tasks: Mapping[str, int]) -> dict[str, float]:
    """Bytes of each folder: with the quantity that it grows with, and where each partition begins in each file."""
    found = {}
    for name, quantity in GROWS.items():
        times = totals[quantity] / max(profile.totals[quantity], 1.0) if quantity in totals else 1.0
        found[name] = profile.disk[name] * times
    found["dedup/sketches"] += tasks["units"] * (tasks["parts"] + 1) * INDEX
    found["dedup/routed"] += tasks["groups"] * (tasks["parts"] + 1) * INDEX
    return found


def _row(
    one: Pass, profile: Profile, corpus: Corpus, cluster: Cluster, costs: Costs,
    layout_of: Mapping[str, int], disk: Mapping[str, float], dice: np.random.Generator | None,
) -> Row:  # fmt: skip
    timed, totals = profile.passes[one.key], corpus.totals | {"units": float(layout_of["units"])}
    stars = one.name == "components" and in_files(totals)
    tasks = layout_of[one.tasks] + (layout_of["star parts"] * (ROUNDS + 1) if stars else 0)
    amount = totals.get(one.counts, 1.0)
    read = sum(disk.get(name, 0.0) for name in one.reads) + _searched(one, tasks, totals, disk, profile)
    written = sum(disk[name] for name in one.writes)
    opens = sum(layout_of[name] for name in one.opens) + len(one.reads) + 3 * (len(one.writes) + 1)  # a file: 3
    objects = layout_of["units"] * layout_of[SHUFFLE] if one.tasks == SHUFFLE else tasks
    shuffled = amount * ROW if one.tasks == SHUFFLE else 0.0
    slots = min(cluster.all_cores, tasks) if one.tasks != SHUFFLE else cluster.all_cores
    share = min(cluster.network_gb_s / cluster.cores, cluster.storage_gb_s / max(slots, 1)) * 1e9
    waits = (read + written) / share + tasks * opens * cluster.latency_ms / 1e3
    busy = amount / (timed.rate * cluster.speed) * (STARS if stars else 1.0) + waits
    if one.tasks == SHUFFLE:
        busy += objects * costs.object_s + shuffled / (cluster.disk_gb_s / cluster.cores * 1e9)
    floors = {
        "driver": 0.0 if one.tasks == DRIVER else (tasks + (layout_of["units"] if one.tasks == SHUFFLE else 0))
        * costs.unit_s,
        "storage": (read + written) / (cluster.storage_gb_s * 1e9),
        "opens": tasks * opens / cluster.storage_ops_s,
        "network": shuffled / (cluster.nodes * cluster.network_gb_s * 1e9),
    }  # fmt: skip
    seconds, core_seconds, lost = _queued(one, timed, busy, tasks, corpus, cluster, costs, dice)
    floors["cores"] = seconds
    bound = max(floors, key=lambda name: floors[name])
    hours = floors[bound] / 3600
    if bound == "cores" and floors["driver"] > core_seconds / max(slots, 1):  # the cores wait for the driver
        bound = "driver"
    return Row(
        one.stage, one.name, tasks, one.counts or "-", amount, read, written, shuffled,
        _worker_mb(one, totals, layout_of, disk, profile), costs.base_mb + costs.unit_mb * tasks,
        _files(one, tasks, timed, profile), objects, core_seconds / 3600, hours, bound, lost,
    )  # fmt: skip


def _queued(
    one: Pass, timed: Timed, busy: float, tasks: int, corpus: Corpus, cluster: Cluster, costs: Costs,
    dice: np.random.Generator | None,
) -> tuple[float, float, int]:  # fmt: skip
    """Seconds of the pass, seconds of its cores, and how many tasks were done twice."""
    start = timed.start / cluster.speed
    if one.tasks == DRIVER:
        return (timed.wall if not one.counts else busy), busy, 0
    if one.tasks == SHUFFLE:
        return busy / min(cluster.all_cores, max(tasks, corpus.units)) + start, busy, 0
    if dice is None:
        waves = -(-tasks // cluster.all_cores)
        return start + waves * busy / max(tasks, 1), busy, 0
    known = one.tasks == "units" and len(corpus.sizes) == tasks
    work = np.array(corpus.sizes) * busy / sum(corpus.sizes) if known else spread_work(busy, tasks, timed.spread, dice)
    done = run_tasks(work, cluster.all_cores, start, costs.unit_s, cluster.node_hours, dice)
    return done.seconds, done.busy, done.lost


def _searched(one: Pass, tasks: int, totals: Quantities, disk: Mapping[str, float], profile: Profile) -> float:
    """Bytes of mapped files that searches touch, in each task: a page for each row, at most the whole files."""
    return sum(tasks * min(disk[name], totals.get(rows, 0.0) / max(tasks, 1) * PAGE) for name, rows in one.maps)


def _files(one: Pass, tasks: int, timed: Timed, profile: Profile) -> int:
    """Files that the pass leaves: as many for each task as were measured, and its record."""
    each = sum(profile.files[name] for name in one.writes) / max(timed.tasks, 1)
    return round(each * tasks) + (tasks if one.tasks not in (DRIVER, SHUFFLE) else 1)


def _worker_mb(
    one: Pass, totals: Quantities, tasks: Mapping[str, int], disk: Mapping[str, float], profile: Profile
) -> float:
    """Calculated from the arrays that a task holds; for extract and the shuffle, measured."""
    mine = max(tasks.get(one.tasks, 1), 1)
    held = {
        "extract/extract": (ENGINE_MB - WORKER_MB) * MB,
        "dedup/signatures": TEXTS_MB * MB + 2 * disk["dedup/signatures"] / mine,
        "dedup/edges": FULL_MB * MB,
        "dedup/components": COPIES * (min(totals["edges"], 6e7 * ROUNDS) / mine) * 24,
        "dedup/routed": COPIES * totals["edges"] / mine * 24,
        "dedup/sketches": 2 * disk["dedup/sketches"] / mine,
        "dedup/fates": 2 * max(disk["dedup/sketches"] / mine, component_bytes(profile, totals, disk)),
        "spans/anchors": COPIES * min(1 << 22, totals.get("anchors", 0) / mine) * 16,
        "spans/repeated": COPIES * totals.get("anchors", 0) / mine * 16,
        "spans/windows": COPIES * totals.get("windows", 0) / mine * WINDOW,
        "spans/places": COPIES * totals.get("windows", 0) / mine * WINDOW,
        "spans/cut": COPIES * totals.get("windows", 0) / mine * WINDOW,
        "paragraphs/counts": COPIES * min(1 << 22, totals.get("lines", 0) / mine) * 16,
        "paragraphs/frequent": COPIES * totals.get("lines", 0) / mine * 20,
        "tokenizer/train": 15 * totals.get("sample bytes", 0.0),  # pieces of words with their counts
    }  # fmt: skip
    return WORKER_MB + held.get(one.key, 0.0) / MB


def component_bytes(profile: Profile, totals: Quantities, disk: Mapping[str, float]) -> float:
    """Sketches of the largest component, which one worker decides, if it grows as the documents do."""
    largest = profile.facts["largest component"] * totals["documents"] / max(profile.totals["documents"], 1.0)
    return largest * profile.disk["dedup/sketches"] / max(profile.totals["candidates"], 1.0)
