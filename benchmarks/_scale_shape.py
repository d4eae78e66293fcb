"""What a cluster is, for the simulation: figures of machines, and what one driver of ours does in a second.

Machines' figures are assumed, and can be given. Costs are what `scale_sim.py --costs` measured on one machine of two
cores, but for those that are said to be assumed: what Ray and our own bookkeeping take in the driver's process.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

MAPS = 65_530  # files that a process may map at a time: Linux's vm.max_map_count
MB, GB, TB = 1e6, 1e9, 1e12


@dataclass(frozen=True)
class Costs:
    """Of the driver, measured: see _scale_costs.py."""

    unit_s: float = 0.011  # seconds of the driver for a unit of map_units: its task, its report
    unit_mb: float = 0.02  # MB of the driver for a unit, while its pass runs
    object_s: float = 0.0005  # seconds of a core for a pair of a unit and a partition in Ray's shuffle; assumed
    row_s: float = 1 / 961_832  # seconds of a core for a row of the shuffle (docs/dedup.md)
    entry_s: float = 3.6e-6  # seconds to read a file's entry in a manifest and to take the manifest's digest
    entry_mb: float = 0.00074  # MB of the driver for a file's entry
    base_mb: float = 310.0  # of the driver, whatever the corpus (docs/dedup.md)


@dataclass(frozen=True)
class Cluster:
    """nodes of so many cores; speed: of a core, of one here; storage: the shared folder, for all nodes together."""

    nodes: int = 1000
    cores: int = 32
    memory_gb: float = 128.0  # of a node
    disk_gb_s: float = 2.0  # of a node's own disk, where Ray's objects spill
    network_gb_s: float = 3.0  # of a node
    storage_gb_s: float = 200.0
    storage_ops_s: float = 100_000.0  # files opened, created, renamed
    latency_ms: float = 5.0  # of one of these
    node_hours: float = 2000.0  # between two failures of one node
    speed: float = 1.0

    @property
    def all_cores(self) -> int:
        return self.nodes * self.cores

    @property
    def core_mb(self) -> float:
        return self.memory_gb * GB / MB / self.cores

    def changed(self, given: dict[str, float | int | None]) -> Cluster:
        """With the figures that are given."""
        names = {one.name for one in fields(self)}
        return replace(self, **{name: value for name, value in given.items() if name in names and value is not None})


def here(cores: int) -> Cluster:
    """The machine of a measured run: its rates hold what reading and writing took; nothing fails."""
    return Cluster(
        nodes=1, cores=cores, memory_gb=4.0 * cores, network_gb_s=np.inf, storage_gb_s=np.inf, storage_ops_s=np.inf,
        latency_ms=0.0, node_hours=np.inf,
    )  # fmt: skip
