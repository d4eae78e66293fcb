"""Memory of the largest worker of a pass, and what it may take of its node."""

from __future__ import annotations

from .cluster import Costs, here
from .loads import Corpus
from .machines import Machines
from .pass_model import Row, simulate
from .passes import DRIVER, PASSES
from .run_profile import Profile

ON_DRIVER = {(one.stage, one.name) for one in PASSES if one.tasks == DRIVER}


def worker_mb(row: Row, profile: Profile, before: float) -> float:
    """Of a pass's largest worker: as measured in its stage, and what its arrays grow by; else calculated."""
    measured = profile.worker_mb.get(row.stage)
    if measured is None or (row.stage, row.name) in ON_DRIVER:
        return row.worker_mb
    return max(measured + row.worker_mb - before, min(measured, row.worker_mb))


def calculated_mb(profile: Profile) -> dict[str, float]:
    """MB of each stage's largest worker in the profile's own run, as the model has it."""
    units = len(profile.amounts.get("input bytes", {})) or max(1, int(profile.totals.get("units", 1)))
    found: dict[str, float] = {}
    for row in simulate(profile, Corpus(profile.totals, units), here(profile.cores), Costs(), queue=False):
        if (row.stage, row.name) not in ON_DRIVER:
            found[row.stage] = max(found.get(row.stage, 0.0), row.worker_mb)
    return found


def room_mb(row: Row, machines: Machines) -> float:
    """What a worker of a pass may take; the command's own process has its node for itself."""
    on_driver = (row.stage, row.name) in ON_DRIVER
    return machines.memory_gb * 1e3 if on_driver else machines.task_mb(row.tasks)
