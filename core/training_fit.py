"""Whether the recipe's sections train, finetune, align and resources fit together. Part of the check of the whole."""

from __future__ import annotations

from .section import misfit
from .settings_alignment import Align
from .settings_optimizer import Optimizer
from .settings_training import Finetune, Resources, Train


def check_training(train: Train, finetune: Finetune, align: Align | None, resources: Resources) -> None:
    """Raises ValueError, "what is wrong; the fix", for the first thing that does not fit."""
    workers = resources.train_workers
    sections = {"finetune": finetune} | ({"align": align} if align is not None else {})
    for name, section in sections.items():
        _divides("resources.train_workers", workers, f"{name}.batch", section.batch)
        if resources.parallel.strategy == "deepspeed" and section.lora is not None:
            raise ValueError(
                f"{name}.lora is given, but deepspeed cuts the weights that are trained and those that are frozen into "
                "the same flat pieces; set resources.parallel.strategy to fsdp or ddp, or leave lora out"
            )
    sizes = {"train.batch": train.batch}
    sizes |= {f"train.batch_warmup.{number}.batch": stage.batch for number, stage in enumerate(train.batch_warmup)}
    for name, batch in sizes.items():
        _divides("resources.train_workers", workers, name, batch)
        share = batch // workers
        if train.micro_batch is not None and (share > train.micro_batch or name == "train.batch"):
            _divides("train.micro_batch", train.micro_batch, f"a worker's share of {name}", share)
    growing = [*(stage.batch for stage in train.batch_warmup), train.batch]
    if growing != sorted(growing):
        raise ValueError(
            f"train.batch_warmup goes through batches of {growing}, but a warm-up grows; put them in rising order"
        )
    _check_branch(train)
    if (resources.min_train_workers or 1) > workers:
        raise ValueError(
            f"resources.min_train_workers is {resources.min_train_workers}, above train_workers ({workers}); "
            "lower it, or raise resources.train_workers"
        )
    muon = any(one.optimizer.muon is not None for one in (train, *sections.values()))
    resources.parallel.check(workers, resources.min_train_workers is not None, muon)


def _check_branch(train: Train) -> None:
    """A branch is a decay from a checkpoint on: it needs the schedule that has one."""
    if train.branch_from is None:
        return
    if train.optimizer.schedule != "wsd":
        raise ValueError(
            f"train.branch_from is given, but the schedule is {train.optimizer.schedule}; "
            f"set train.optimizer.schedule to wsd, as in the run that it branches off"
        )
    if train.optimizer.decay_share != Optimizer.model_fields["decay_share"].default:
        raise ValueError(
            "train.branch_from and train.optimizer.decay_share are both given, but a branch decays from its "
            "checkpoint to train.steps; leave decay_share out"
        )


def _divides(part_name: str, part: int, whole_name: str, whole: int) -> None:
    if wrong := misfit(part_name, part, whole_name, whole):
        raise ValueError("; ".join(wrong))
