"""Checkpoints: torch.distributed.checkpoint (DCP) folders that are complete or not there.

    checkpoints/step_000100/         `__RANK_N.distcp` and `.metadata` by DCP, written by all ranks: model and optimizer
    checkpoints/step_000100/meta.json    {step, tokens_seen, model, tokenizer_digest, data_digest, recipe,
                                          files: {name: bytes}}

All ranks write into `.step_000100.ATTEMPT.writing`; rank 0 adds meta.json and renames the folder. A folder counts as
complete when meta.json reads well and every file it lists has its size. DCP's `.metadata` is a pickle, read by torch
itself: load checkpoints only from runs you trust. Tensors are read with weights_only.
"""

from __future__ import annotations

import json
import os
import shutil
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.distributed.checkpoint import state_dict_loader, state_dict_saver
from torch.distributed.checkpoint.state_dict import (
    get_model_state_dict,
    get_state_dict,
    set_model_state_dict,
    set_state_dict,
)

from ..core.errors import ContractError, InputError
from ..core.files import write_json
from ..core.log import log
from ..model.config import ModelConfig
from ..model.transformer import Transformer
from .world import World
from .zero import ZeroOptimizer

META = "meta.json"


@dataclass(frozen=True)
class Meta:
    """What a checkpoint says of itself."""

    step: int
    tokens_seen: int
    model: dict[str, Any]
    tokenizer_digest: str
    data_digest: str
    recipe: dict[str, Any]  # the sections that training depends on
    files: dict[str, int]  # name -> bytes, without meta.json

    def check(self, folder: Path, expected: Meta) -> None:
        """Raises ContractError when the checkpoint belongs to another model, tokenizer or data."""
        for name in ("model", "tokenizer_digest", "data_digest"):
            found, wanted = getattr(self, name), getattr(expected, name)
            if name == "model":  # fields that older versions did not write have the values that they meant
                found = ModelConfig.from_dict(found).to_dict()
            if found != wanted:
                raise ContractError(
                    f"{folder}: {name} is {_short(found)}, this run has {_short(wanted)}",
                    "remove the stage's folder to train from the start, or give the run another name",
                )


def save(
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer | ZeroOptimizer,
    meta: Meta,
    world: World,
    attempt: str,
    keep: int,
) -> Path:
    """Write checkpoint `meta.step` below `folder`, from all ranks, and keep the newest `keep`. Returns its folder.

    `attempt` is the same on all ranks and new in every start of the workers: two starts never write to one folder.
    """
    target = folder / step_name(meta.step)
    partial = folder / f".{target.name}.{attempt}.writing"
    zero = isinstance(optimizer, ZeroOptimizer)
    model_state, optimizer_state = optimizer.state_dicts() if zero else get_state_dict(model, optimizer)
    with _quiet():
        state = {"model": model_state, "optimizer": optimizer_state}
        state_dict_saver.save(state, checkpoint_id=partial, no_dist=not world.distributed)
    world.barrier()
    if world.rank == 0:
        files = {path.name: path.stat().st_size for path in sorted(partial.iterdir())}
        write_json(partial / META, asdict(meta) | {"files": files})
        if target.exists():  # a broken one: complete ones are resumed from, not written again
            shutil.rmtree(target)
        partial.rename(target)
        _sync(folder)
        prune(folder, keep)
    world.barrier()
    return target


def newest(folder: Path) -> Path | None:
    """The newest complete checkpoint; a broken one is named in a warning and passed over. None when there is none."""
    for path in reversed(_found(folder)):
        fault = broken(path)
        if fault is None:
            return path
        log.warning("checkpoint %s is broken (%s): going back to the one before", path, fault)
    return None


def broken(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint's folder, None when it is complete."""
    try:
        meta = read_meta(checkpoint)
    except InputError as error:
        return error.message
    for name, size in meta.files.items():
        path = checkpoint / name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != size:
            return f"{name} has {path.stat().st_size} bytes, {META} lists {size}"
    return None


def read_meta(checkpoint: Path) -> Meta:
    """A checkpoint's meta.json. Raises InputError when it is missing or unreadable."""
    path = Path(checkpoint) / META
    try:
        return Meta(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path} is no checkpoint's description: {error}", "train again, or name another") from error


def load(checkpoint: Path, model: nn.Module, optimizer: torch.optim.Optimizer, world: World) -> None:
    """Put a checkpoint's state into model and optimizer, sharded for this number of ranks.

    The optimizer's settings stay those that it was made with.
    """
    settings = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    model_state, optimizer_state = get_state_dict(model, optimizer)
    state = {"model": model_state, "optimizer": optimizer_state}
    with _quiet():
        state_dict_loader.load(state, checkpoint_id=checkpoint, no_dist=not world.distributed)
    set_state_dict(model, optimizer, model_state_dict=state["model"], optim_state_dict=state["optimizer"])
    for group, own in zip(optimizer.param_groups, settings, strict=True):
        group.update(own)


def load_weights(checkpoint: Path, model: nn.Module, world: World) -> None:
    """Put a checkpoint's weights into a model, and nothing else: the start of fine-tuning."""
    state = {"model": get_model_state_dict(model)}
    with _quiet():
        state_dict_loader.load(state, checkpoint_id=checkpoint, no_dist=not world.distributed)
    set_model_state_dict(model, state["model"])


def load_for_inference(checkpoint: Path) -> tuple[Transformer, dict[str, Any]]:
    """The model of a checkpoint, in evaluation mode, and its meta.json; in one process, without Ray.

    Raises InputError when the checkpoint is broken.
    """
    fault = broken(Path(checkpoint))
    if fault is not None:
        raise InputError(f"checkpoint {checkpoint}: {fault}", "run the training stage again")
    meta = read_meta(checkpoint)
    model = Transformer(ModelConfig.from_dict(meta.model))
    load_weights(Path(checkpoint), model, World())
    return model.eval(), asdict(meta)


def prune(folder: Path, keep: int) -> None:
    """Remove all but the newest `keep` complete checkpoints, broken ones older than these, and unfinished ones."""
    complete = [path for path in _found(folder) if broken(path) is None]
    for path in _found(folder):
        if path not in complete[-keep:]:
            shutil.rmtree(path)
    for path in folder.glob(".step_*.writing"):
        shutil.rmtree(path)


def step_name(step: int) -> str:
    return f"step_{step:06d}"


def _found(folder: Path) -> list[Path]:
    """Checkpoint folders, oldest first."""
    return sorted(folder.glob("step_*"), key=lambda path: (len(path.name), path.name))


def _quiet() -> warnings.catch_warnings:
    """One process alone is what we mean where DCP warns that it found no process group."""
    return warnings.catch_warnings(action="ignore", category=UserWarning)


def _sync(folder: Path) -> None:
    """Make the rename last through a crash of the machine."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _short(value: Any) -> str:
    return str(value) if isinstance(value, dict) else str(value)[:16]
