"""A decay that branches off another run's stable phase (Hu et al. 2024): one long run at a stable learning rate, and
from any of its checkpoints a short one that brings the rate down and gives a finished model.

The branch goes on where the checkpoint was: weights, optimizer, step, position in the data. So what these depend on
has to be the same in both. The data may differ: a decay often sees better ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import ContractError, InputError
from ..core.settings_optimizer import Optimizer
from ..core.settings_training import Train
from . import checkpoints
from .schedule import stable_until

FIX = "branch off a checkpoint of the stable phase of a run with the same settings, or train from the start"
DECAY = {"decay_share", "decay_shape", "min_lr_ratio"}  # settings of the optimizer that a branch has of its own


@dataclass(frozen=True)
class Branch:
    """A checkpoint to go on from, and what it says of itself."""

    checkpoint: Path
    meta: checkpoints.Meta


def open_branch(settings: Train, seed: int, model: dict[str, Any], tokenizer_digest: str) -> Branch | None:
    """The checkpoint that `branch_from` names; None without one.

    Raises InputError when it is broken, ContractError naming both values when it does not fit the settings: another
    model, tokenizer, seed, batch or optimizer, or a step that is not in a stable phase, or not before the last.
    """
    if settings.branch_from is None:
        return None
    folder = Path(settings.branch_from)
    if (fault := checkpoints.broken(folder)) is not None:
        raise InputError(f"train.branch_from: checkpoint {folder}: {fault}", "name a complete checkpoint's folder")
    meta = checkpoints.read_meta(folder)
    trained = meta.recipe.get("train", {})
    ours = settings.model_dump(mode="json")
    pairs: dict[str, tuple[Any, Any]] = {
        "model": (meta.model, model),
        "the tokenizer": (meta.tokenizer_digest, tokenizer_digest),
        "seed": (meta.recipe.get("seed"), seed),
        "train.batch": (trained.get("batch"), ours["batch"]),
        "train.batch_warmup": (trained.get("batch_warmup"), ours["batch_warmup"]),
    }
    theirs = trained.get("optimizer", {})
    pairs |= {f"train.optimizer.{key}": (theirs.get(key), ours["optimizer"][key]) for key in ours["optimizer"]}
    for name, (was, now) in pairs.items():
        if was != now and name.rpartition(".")[2] not in DECAY:
            raise ContractError(f"train.branch_from: {folder} was trained with {name} {was}, this run has {now}", FIX)
    _check_step(folder, meta.step, trained, settings.steps)
    return Branch(folder, meta)


def _check_step(folder: Path, step: int, trained: dict[str, Any], steps: int) -> None:
    """The checkpoint lies in its run's stable phase, and before this run's last step."""
    optimizer = Optimizer.model_validate(trained["optimizer"])
    first, last = optimizer.warmup_steps, stable_until(optimizer, trained["steps"])
    if trained.get("branch_from") is not None:
        raise ContractError(f"train.branch_from: {folder} is of a decay that branched off itself", FIX)
    if not first <= step <= last:
        raise ContractError(
            f"train.branch_from: {folder} is of step {step}, but its run was stable from step {first} to {last}", FIX
        )
    if step >= steps:
        raise ContractError(
            f"train.branch_from: {folder} is of step {step}, but train.steps is {steps}",
            f"set train.steps, which counts the steps before the branch too, above {step}",
        )
