"""Checkpoints: torch.distributed.checkpoint (DCP) folders that are complete or not there.

    checkpoints/step_000100/         `__RANK_N.distcp` and `.metadata` by DCP, written by all ranks: model and optimizer
    checkpoints/step_000100/meta.json    {step, tokens_seen, model, tokenizer_digest, data_digest, recipe, guard,
                                          variant, files: {name: {bytes, sha256}}}

They are written by train/saving.py. A folder is complete when meta.json reads well and every file it lists is there,
with its size and digest. What stands in it is read by train/checkpoint_reader.py, which calls nothing that it names.
"""

from __future__ import annotations

import json
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_state_dict,
    set_model_state_dict,
    set_state_dict,
)
from torch.distributed.fsdp import FSDPModule

from ..core.errors import ContractError, InputError
from ..core.files import remove_folder, sha256_file
from ..core.log import log
from ..core.remote_path import path_of
from ..model.config import ModelConfig
from ..model.transformer import Transformer
from .checkpoint_reader import read_into
from .lora import merge
from .variant import PLAIN, Variant
from .world import World
from .zero import ZeroOptimizer

META = "meta.json"
READERS = 4


@dataclass(frozen=True)
class Meta:
    """What a checkpoint says of itself."""

    step: int
    tokens_seen: int
    model: dict[str, Any]
    tokenizer_digest: str
    data_digest: str
    recipe: dict[str, Any]  # the sections that training depends on
    files: dict[str, dict[str, Any]]  # name -> {bytes, sha256}, without meta.json
    guard: dict[str, Any] = field(default_factory=dict)  # train/guard.py's History
    variant: dict[str, Any] = field(default_factory=dict)  # train/variant.py's Variant

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


def newest(folder: Path) -> Path | None:
    """The newest complete checkpoint; a broken one is named in a warning and passed over. None when there is none."""
    for path in reversed(_found(folder)):
        fault = broken(path)
        if fault is None:
            return path
        log.warning("checkpoint %s is broken (%s): going back to the one before", path, fault)
    return None


def broken(checkpoint: Path, read: bool = True) -> str | None:
    """What is wrong with a checkpoint's folder, None when it is complete. `read`: every byte, not only sizes."""
    try:
        meta = read_meta(checkpoint)
    except InputError as error:
        return error.message
    for name, size in ((name, entry["bytes"]) for name, entry in meta.files.items()):
        path = checkpoint / name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != size:
            return f"{name} has {path.stat().st_size} bytes, {META} lists {size}"
    return _other_bytes(checkpoint, meta) if read else None


def _other_bytes(checkpoint: Path, meta: Meta) -> str | None:
    expected = {name: entry["sha256"] for name, entry in meta.files.items() if "sha256" in entry}
    with ThreadPoolExecutor(READERS) as threads:
        found = threads.map(sha256_file, [checkpoint / name for name in expected])
        for (name, wanted), digest in zip(expected.items(), found, strict=True):
            if digest != wanted:
                return f"{name} has the SHA-256 {digest}, {META} lists {wanted}"
    return None


def read_meta(checkpoint: Path) -> Meta:
    """A checkpoint's meta.json. Raises InputError when it is missing or unreadable.

    Checkpoints from before there were digests list sizes alone.
    """
    path = path_of(checkpoint) / META
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        files = {name: {"bytes": one} if isinstance(one, int) else dict(one) for name, one in raw["files"].items()}
        if not all(isinstance(entry["bytes"], int) for entry in files.values()):
            raise ValueError("it lists files without their sizes")
        return Meta(**raw | {"files": files})
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise InputError(f"{path} is no checkpoint's description: {error}", "train again, or name another") from error


def state_of(model: nn.Module, optimizer: torch.optim.Optimizer | ZeroOptimizer) -> dict[str, Any]:
    """What a checkpoint holds of them, as DCP takes it: sharded tensors stay sharded."""
    zero = isinstance(optimizer, ZeroOptimizer)
    model_state, optimizer_state = optimizer.state_dicts() if zero else get_state_dict(model, optimizer)
    return {"model": model_state, "optimizer": optimizer_state}


def load(checkpoint: Path, model: nn.Module, optimizer: torch.optim.Optimizer, world: World) -> None:
    """Put a checkpoint's state into model and optimizer, sharded for this number of ranks.

    The optimizer's settings stay those that it was made with.
    """
    state = state_of(model, optimizer)
    with quiet():
        read_into(state, checkpoint, no_dist=not world.distributed)
    put_back(state, model, optimizer)


def put_back(state: dict[str, Any], model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put what `state_of` gave into model and optimizer. The optimizer's settings stay as they are."""
    settings = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    for module in model.modules():
        if isinstance(module, FSDPModule):  # after a forward without a backward the root's weights are whole
            module.reshard()
    set_state_dict(model, optimizer, model_state_dict=state["model"], optim_state_dict=state["optimizer"])
    for group, own in zip(optimizer.param_groups, settings, strict=True):
        group.update(own)


def load_weights(checkpoint: Path, model: nn.Module, world: World, variant: Variant = PLAIN) -> None:
    """Put a checkpoint's weights into a model, and nothing else: the start of fine-tuning.

    What the variant has of its own stays as it is.
    """
    weights = {name: one for name, one in get_model_state_dict(model).items() if not variant.is_new(name)}
    state = {"model": weights}
    with quiet():
        read_into(state, checkpoint, no_dist=not world.distributed)
    set_model_state_dict(model, state["model"], options=StateDictOptions(strict=variant == PLAIN))


def load_for_inference(checkpoint: Path) -> tuple[Transformer, dict[str, Any]]:
    """The model of a checkpoint, in evaluation mode, and its meta.json; in one process, without Ray.

    Low-rank differences are merged into the weights; of a reward model it is a RewardModel (train/reward.py). Raises
    InputError when the checkpoint is broken.
    """
    fault = broken(path_of(checkpoint))
    if fault is not None:
        raise InputError(f"checkpoint {checkpoint}: {fault}", "run the training stage again")
    meta = read_meta(checkpoint)
    variant = Variant.from_dict(meta.variant)
    model = variant.make(ModelConfig.from_dict(meta.model))
    load_weights(path_of(checkpoint), model, World())
    if variant.lora is not None:
        merge(model)
    return model.eval(), asdict(meta)


def prune(folder: Path, keep: int, keep_every: int | None = None, *, newest: Path) -> None:
    """Remove all but the newest `keep` complete checkpoints and those at multiples of `keep_every` steps.

    `newest` is the one just written. What has a later step was passed over when the run went on from an earlier one,
    though its sizes may be right: it goes. So do broken ones, and unfinished ones.
    """
    found = _found(folder)
    found = found[: found.index(newest) + 1]
    complete = [path for path in found if broken(path, read=False) is None]
    kept = {path for path in complete if keep_every and int(path.name.removeprefix("step_")) % keep_every == 0}
    for path in _found(folder):
        if path not in kept.union(complete[-keep:]):
            remove_folder(path)
    for path in folder.glob(".step_*.writing"):
        remove_folder(path)


def step_name(step: int) -> str:
    return f"step_{step:06d}"


def _found(folder: Path) -> list[Path]:
    """Checkpoint folders, oldest first."""
    return sorted(folder.glob("step_*"), key=lambda path: (len(path.name), path.name))


def quiet() -> warnings.catch_warnings:
    """One process alone is what we mean where DCP warns that it found no process group."""
    return warnings.catch_warnings(action="ignore", category=UserWarning)


def _short(value: Any) -> str:
    return str(value) if isinstance(value, dict) else str(value)[:16]
