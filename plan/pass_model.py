"""From a profile, a corpus and a cluster: how long each pass takes, and what it is made of.

A task's seconds are those of its rate, and what it waits for the storage. A pass takes as long as the queue of its
tasks (task_queue.py), or as the driver, the storage or the network need for all of them, whichever is longest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .cluster import GB, Cluster, Costs
from .loads import Corpus, Load, Loads
from .passes import DRIVER, PASSES, SHUFFLE, STARS, Pass, in_files
from .run_profile import Profile
from .task_queue import run_tasks, spread_work
from .timing import Timed

INPUT = "input bytes"


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
    lost: int  # tasks that were done again


class Model:
    """A corpus on a cluster, as a run of which the profile is known says that it would go."""

    def __init__(self, profile: Profile, corpus: Corpus, cluster: Cluster, costs: Costs) -> None:
        self.profile, self.corpus, self.cluster, self.costs = profile, corpus, cluster, costs
        self.loads = Loads(profile, corpus)

    def row(self, one: Pass, dice: np.random.Generator | None) -> Row:
        """One pass. Without dice the tasks are equal and no node fails, and the queue is closed form."""
        load = self.loads.of(one)
        seconds, busy, lost = self._queued(one, load, dice)
        floors = {"cores": seconds, **self._floors(one, load)}
        bound = max(floors, key=lambda name: floors[name])
        hours = floors[bound] / 3600
        if bound == "cores" and floors["driver"] > busy / min(self.cluster.all_cores, max(load.tasks, 1)):
            bound = "driver"  # the cores wait for it
        return Row(
            stage=one.stage,
            name=one.name,
            tasks=load.tasks,
            counts=one.counts or "-",
            amount=load.amount,
            read=load.read,
            written=load.written,
            shuffled=load.shuffled,
            worker_mb=load.worker_mb,
            driver_mb=self.costs.base_mb + self.costs.unit_mb * load.tasks,
            files=load.files,
            objects=load.objects,
            core_hours=busy / 3600,
            hours=hours,
            bound=bound,
            lost=lost,
        )

    def _floors(self, one: Pass, load: Load) -> dict[str, float]:
        """Seconds that a pass takes at least, whatever the cores do."""
        cluster = self.cluster
        handed = load.tasks + (self.corpus.units if one.tasks == SHUFFLE else 0)
        return {
            "driver": 0.0 if one.tasks == DRIVER else handed * self.costs.unit_s,
            "storage": (load.read + load.written) / (cluster.storage_gb_s * GB),
            "opens": load.opens / cluster.storage_ops_s,
            "network": load.shuffled / (cluster.nodes * cluster.network_gb_s * GB),
        }

    def _queued(self, one: Pass, load: Load, dice: np.random.Generator | None) -> tuple[float, float, int]:
        """Seconds of the pass, seconds of its cores, and how many tasks were done twice."""
        timed, cluster, corpus = self.profile.passes[one.key], self.cluster, self.corpus
        start = timed.start / cluster.speed
        if one.tasks == SHUFFLE:
            return self._shuffled(timed, load)
        amount = sum(corpus.work) if corpus.work and one.counts == INPUT else load.amount
        busy = amount / (timed.rate * cluster.speed) + self._waited(load) + load.tasks * timed.task / cluster.speed
        if one.name == "components" and in_files(corpus.totals):
            busy *= STARS
        if one.tasks == DRIVER:
            return start + busy, start + busy, 0
        if dice is None:
            return start + -(-load.tasks // cluster.all_cores) * busy / max(load.tasks, 1), busy, 0
        known = one.tasks == "units" and len(corpus.sizes) == load.tasks
        weights = corpus.work if corpus.work and one.counts == INPUT else corpus.sizes
        each = timed.task / cluster.speed
        given = each + np.array(weights) * (busy - load.tasks * each) / max(sum(weights), 1.0)
        work = given if known else spread_work(busy, load.tasks, timed.spread, dice)
        done = run_tasks(work, cluster.all_cores, start, self.costs.unit_s, cluster.node_hours, dice)
        return done.seconds, done.busy, done.lost

    def _shuffled(self, timed: Timed, load: Load) -> tuple[float, float, int]:
        """Ray's shuffle: units send their rows on all cores, and tasks gather a piece for each unit and partition.

        What it took in the profile's run, and is not of its rows and pieces, is what starting it costs.
        """
        costs, cluster, known = self.costs, self.cluster, self.profile
        here = Loads(known, Corpus(known.totals, round(known.totals["units"]))).tasks
        pieces = here["units"] * here[SHUFFLE] * costs.object_s
        start = max(0.0, timed.wall - (known.totals["rows"] * costs.row_s + pieces) / known.cores)
        spilled = load.shuffled / (cluster.disk_gb_s / cluster.cores * GB)
        sent = (load.amount * costs.row_s + spilled) / cluster.speed + self._waited(load)
        gathered = load.objects * costs.object_s / cluster.speed
        seconds = sent / min(cluster.all_cores, self.corpus.units) + gathered / min(cluster.all_cores, load.tasks)
        return start + seconds, sent + gathered, 0

    def _waited(self, load: Load) -> float:
        """Seconds that all tasks wait for the storage: for its answers, and for their bytes at a core's share."""
        cluster = self.cluster
        at_once = min(cluster.all_cores, max(load.tasks, 1))
        share = min(cluster.network_gb_s / cluster.cores, cluster.storage_gb_s / at_once) * GB
        return (load.read + load.written) / share + load.opens * cluster.latency_ms / 1e3


def simulate(
    profile: Profile, corpus: Corpus, cluster: Cluster, costs: Costs, seed: int = 1, queue: bool = True
) -> list[Row]:
    """Every pass that the profile's run had, in its order. Without `queue` tasks are equal and no node fails."""
    model, dice = Model(profile, corpus, cluster, costs), np.random.default_rng(seed) if queue else None
    return [model.row(one, dice) for one in PASSES if one.key in profile.passes]
