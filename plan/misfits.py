"""What does not fit: memory of workers, ranks and the driver, Ray's objects, the storage. Each with the knob for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..core.recipe import Recipe
from .machines import Machines
from .pass_model import Row
from .training import Trained

if TYPE_CHECKING:
    from .forecast import StagePlan

DRIVER_KNOB = "a head node of more memory; larger input files, of which each is a task"
KNOBS = {  # of the memory of a worker, by stage or pass
    "extract": "extract.page_mb lower, or nodes of more memory a CPU",
    "dedup": "dedup.threshold up or dedup.verify: signature, or nodes of more memory a CPU",
    "spans": "spans.min_tokens up, or nodes of more memory a CPU",
    "tokenizer": "tokenizer.train_bytes lower, or a head node of more memory",
}


@dataclass(frozen=True)
class Misfit:
    """One thing that does not fit: `needs` of `has`, both in `unit`, and what is to be turned. Without a unit it is no
    matter of an amount."""

    stage: str
    what: str
    needs: float
    has: float
    unit: str
    knob: str

    @property
    def told(self) -> str:
        amount = f": {self.needs:,.3g} {self.unit} of {self.has:,.3g}" if self.unit else ""
        return f"{self.stage}: {self.what}{amount}; turn: {self.knob}"


def misfits(
    stages: Sequence[StagePlan],
    rows: Sequence[Row],
    trainings: Mapping[str, Trained],
    machines: Machines,
    recipe: Recipe,
) -> list[Misfit]:
    """Everything that does not fit, in the order of the stages."""
    found = []
    for one in stages:
        found += _memory(one, trainings.get(one.stage), machines, recipe)
        room = machines.store_gb * machines.nodes
        if one.store / 1e9 > room:
            knob = "resources.object_store_bytes up (of a local Ray), or more nodes; else Ray writes them to disk"
            found.append(Misfit(one.stage, "Ray's objects of the shuffle", one.store / 1e9, room, "GB", knob))
    over = next((one for one in stages if one.disk / 1e9 > machines.disk_gb), None)
    if over is not None:
        most = max(one.disk for one in stages) / 1e9
        knob = "more space in `storage`, or another `storage`; fewer train.keep_checkpoints"
        found.append(Misfit(over.stage, "the storage is full from here on", most, machines.disk_gb, "GB", knob))
    head = max(rows, key=lambda row: row.driver_mb, default=None)
    if head is not None and head.driver_mb > machines.memory_gb * 1e3:
        needs, has = head.driver_mb / 1e3, machines.memory_gb
        found.append(Misfit(head.stage, "memory of the command's own process", needs, has, "GB", DRIVER_KNOB))
    return found


def _memory(one: StagePlan, training: Trained | None, machines: Machines, recipe: Recipe) -> list[Misfit]:
    found = []
    if training is not None and training.wrong is not None:
        said, fix = training.wrong
        found.append(Misfit(one.stage, said, 0.0, 0.0, "", fix))
    if one.memory_mb is not None and one.room_mb is not None and one.memory_mb > one.room_mb:
        what = "memory of a rank" if training is not None else "memory of a worker"
        knob = (
            _rank_knob(machines, recipe) if training is not None else KNOBS.get(one.stage, "nodes of more memory a CPU")
        )
        found.append(Misfit(one.stage, what, one.memory_mb / 1e3, one.room_mb / 1e3, "GB", knob))
    return found


def _rank_knob(machines: Machines, recipe: Recipe) -> str:
    """The first thing that is not turned yet."""
    parallel = recipe.resources.parallel
    if parallel.checkpointing == "none" and parallel.strategy != "deepspeed":
        return "resources.parallel.checkpointing: selective or full, train.micro_batch lower"
    if parallel.strategy in ("single", "ddp"):
        return "resources.parallel.strategy: fsdp, which shards weights and optimizer"
    kind = "GPUs" if machines.gpus else "resources.train_workers"
    return f"train.micro_batch lower, more {kind} to shard over, or a smaller model"
