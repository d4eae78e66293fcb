"""The machines of a plan: nodes with so many CPUs, memory and disk, and GPUs to train on; by default this machine."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..core.recipe import Recipe
from ..core.remote_path import is_remote
from ..core.session import LOCAL_OBJECT_STORE
from ..tune.gpus import MFU, Gpu, find_gpu
from .cluster import GB, Cluster

CORE_GB = 4.0  # of a node, where nothing else is said
STORE_SHARE = 0.3  # of a node's memory, as Ray takes it for its objects


@dataclass(frozen=True)
class Machines:
    """`nodes` of `cpus`, `memory_gb` and, for Ray's objects, `store_gb` each; `disk_gb`: free in the shared storage,
    inf where nobody said; `gpus` of one kind, all together; `speed`: of a core, of one of the profile."""

    nodes: int
    cpus: int
    memory_gb: float
    store_gb: float
    disk_gb: float = np.inf
    gpus: int = 0
    gpu: str = "h100"
    mfu: float = MFU
    speed: float = 1.0

    @property
    def kind(self) -> Gpu:
        return find_gpu(self.gpu)

    @property
    def all_cpus(self) -> int:
        return self.nodes * self.cpus

    @property
    def cluster(self) -> Cluster:
        """For the passes. Of one node, storage and network are in the profile's rates already, and it does not fail."""
        if self.nodes > 1:
            return Cluster(nodes=self.nodes, cores=self.cpus, memory_gb=self.memory_gb, speed=self.speed)
        free = {"network_gb_s": np.inf, "storage_gb_s": np.inf, "storage_ops_s": np.inf, "node_hours": np.inf}
        return Cluster(nodes=1, cores=self.cpus, memory_gb=self.memory_gb, latency_ms=0.0, speed=self.speed, **free)

    def task_mb(self, tasks: int) -> float:
        """MB that a task may take: a node's, among those that run on it at the same time."""
        at_once = min(self.cpus, max(1, -(-tasks // self.nodes)))
        return self.memory_gb * 1e3 / at_once

    @property
    def told(self) -> str:
        gpus = f"; {self.gpus} × {self.gpu}, {self.mfu:.0%} of the peak" if self.gpus else ""
        disk = f", {self.disk_gb:,.0f} GB free in the storage" if np.isfinite(self.disk_gb) else ""
        nodes = f"{self.nodes:,} node{'s' * (self.nodes > 1)}"
        return f"{nodes} of {self.cpus} CPUs and {self.memory_gb:,.3g} GB{disk}{gpus}"


def this_memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GB


def free_gb(folder: Path) -> float:
    """Free where the folder is, or will be."""
    there = next(one for one in (folder.absolute(), *folder.absolute().parents) if one.is_dir())
    return shutil.disk_usage(there).free / GB


def machines_of(
    recipe: Recipe,
    nodes: int = 1,
    cpus: int | None = None,
    memory_gb: float | None = None,
    disk_gb: float | None = None,
    gpus: int = 0,
    gpu: str = "h100",
    mfu: float = MFU,
    speed: float = 1.0,
) -> Machines:
    """What is not given is this machine's, for one node that is like it; a cluster's nodes have CORE_GB a CPU.

    Raises InputError for a GPU that is not listed.
    """
    find_gpu(gpu)
    here = nodes == 1 and cpus is None
    cores = cpus or recipe.resources.cpus or os.cpu_count() or 1
    memory = memory_gb or (this_memory_gb() if here else cores * CORE_GB)
    given = recipe.resources.object_store_bytes
    store = given / GB if given else LOCAL_OBJECT_STORE / GB if nodes == 1 else memory * STORE_SHARE
    disk_counts = here and not is_remote(recipe.storage)
    disk = disk_gb if disk_gb is not None else free_gb(Path(recipe.storage)) if disk_counts else np.inf
    return Machines(nodes, cores, memory, store, disk, gpus, gpu, mfu, speed)
