"""A decay that branches off another run's stable phase (Hu et al. 2024): one long run at a stable learning rate, and
from any of its checkpoints a short one that brings the rate down and gives a finished model.

The branch goes on where the checkpoint was: weights, optimizer, step, position in the data. So what these depend on
has to be the same in both. The data may differ: a decay often sees better ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..core.errors import ContractError, InputError
from ..core.remote_path import path_of
from ..core.settings_training import Train
from ..model.config import ModelConfig
from . import checkpoints
from .pretrain_stage import result_settings
from .schedule import stable_until

FIX = "branch off a checkpoint of the stable phase of a run with the same settings, or train from the start"
DECAY = {f"train.optimizer.{name}" for name in ("decay_share", "decay_shape", "min_lr_ratio")}
OWN = {"train.steps", "train.branch_from", *DECAY}  # settings that a branch has of its own


@dataclass(frozen=True)
class Branch:
    """A checkpoint to go on from, and what it says of itself."""

    checkpoint: Path
    meta: checkpoints.Meta


def open_branch(
    settings: Train, seed: int, model: dict[str, Any], tokenizer_digest: str, rounding: Mapping[str, str] | None = None
) -> Branch | None:
    """The checkpoint that `branch_from` names; None without one. `rounding`: as in the stage's settings.

    Raises InputError when it is broken, ContractError naming both values when it does not fit: another model,
    tokenizer, seed or rounding, other settings of training than the decay, or a step that is not in a stable phase, or
    not before the last.
    """
    if settings.branch_from is None:
        return None
    folder = path_of(settings.branch_from)
    if (fault := checkpoints.broken(folder)) is not None:
        raise InputError(f"train.branch_from: checkpoint {folder}: {fault}", "name a complete checkpoint's folder")
    meta = checkpoints.read_meta(folder)
    trained = _trained(folder, meta)
    pairs: dict[str, tuple[Any, Any]] = {
        "model": (ModelConfig.from_dict(meta.model).to_dict(), model),
        "the tokenizer": (meta.tokenizer_digest, tokenizer_digest),
        "seed": (meta.recipe.get("seed"), seed),
    }
    if rounding and "bf16" in meta.recipe:
        pairs["bf16 by"] = (meta.recipe["bf16"], rounding["bf16"])
    theirs, ours = _by_name(trained), _by_name(settings)
    pairs |= {name: (theirs[name], ours[name]) for name in theirs if name in ours and name not in OWN}
    for name, (was, now) in pairs.items():
        if was != now:
            raise ContractError(f"train.branch_from: {folder} was trained with {name} {was}, this run has {now}", FIX)
    _check_step(folder, meta.step, trained, settings.steps)
    return Branch(folder, meta)


def _trained(folder: Path, meta: checkpoints.Meta) -> Train:
    """The settings of the checkpoint's run; what older versions did not write has the value that it meant."""
    try:
        return Train.model_validate(meta.recipe["train"])
    except (KeyError, ValidationError) as error:
        raise ContractError(f"train.branch_from: {folder} does not say how it was pretrained: {error}", FIX) from error


def _by_name(settings: Train) -> dict[str, Any]:
    """What the weights depend on, those of sections within one by one."""
    found: dict[str, Any] = {}
    for key, value in result_settings(settings).items():
        inner = {f".{name}": one for name, one in value.items()} if isinstance(value, dict) else {"": value}
        found |= {f"train.{key}{name}": one for name, one in inner.items()}
    return found


def _check_step(folder: Path, step: int, trained: Train, steps: int) -> None:
    """The checkpoint lies in its run's stable phase, and before this run's last step."""
    first, last = trained.optimizer.warmup_steps, stable_until(trained.optimizer, trained.steps)
    if trained.branch_from is not None:
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
