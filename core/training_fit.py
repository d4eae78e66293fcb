"""Whether the recipe's sections train, finetune and resources fit together. Part of the check of the whole recipe."""

from __future__ import annotations

from .section import misfit
from .settings_training import Finetune, Resources, Train


def check_training(train: Train, finetune: Finetune, resources: Resources) -> None:
    """Raises ValueError, "what is wrong; the fix", for the first thing that does not fit."""
    workers = resources.train_workers
    _divides("resources.train_workers", workers, "train.batch", train.batch)
    _divides("resources.train_workers", workers, "finetune.batch", finetune.batch)
    share = train.batch // workers
    if train.micro_batch is not None:
        _divides("train.micro_batch", train.micro_batch, "a worker's share of train.batch", share)
    muon = train.optimizer.muon is not None or finetune.optimizer.muon is not None
    resources.parallel.check(workers, muon)


def _divides(part_name: str, part: int, whole_name: str, whole: int) -> None:
    if wrong := misfit(part_name, part, whole_name, whole):
        raise ValueError("; ".join(wrong))
