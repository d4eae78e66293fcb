"""LoRA's parameters alone as a file: some thousandth of the model's size, to be put on the same model again.

A safetensors file: `blocks.0.attention.query.lora_a`, … in float32, and as metadata `lora` (rank, alpha, dropout,
targets) and `model` (the configuration), both JSON.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.distributed.tensor import DTensor

from ..core.errors import ContractError, InputError
from ..core.files import atomic_path
from ..model.config import ModelConfig
from ..model.transformer import Transformer
from .lora import Lora, inject, lora_parameters


def lora_state(model: Transformer) -> dict[str, Tensor]:
    """Every A and B, whole, on the CPU. Of a sharded model: on all ranks at once."""
    found = {}
    for name, parameter in lora_parameters(model):
        one = parameter.detach()
        whole = one.full_tensor() if isinstance(one, DTensor) else one
        found[name] = whole.cpu().float().clone().contiguous()
    return found


def write_lora(path: Path, state: dict[str, Tensor], lora: Lora, config: ModelConfig) -> None:
    """Write what `lora_state` gave; of several ranks one writes."""
    metadata = {"lora": json.dumps(asdict(lora)), "model": json.dumps(config.to_dict())}
    with atomic_path(path) as partial:
        save_file(state, partial, metadata)


def read_lora(path: Path, model: Transformer) -> Lora:
    """Inject the layers that the file is of, and fill them. Before sharding.

    Raises InputError when it is no such file, ContractError when it belongs to a model of another shape.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        raw = json.loads(metadata["lora"])
        lora = Lora(**raw | {"targets": tuple(raw["targets"])})
        shape = ModelConfig.from_dict(json.loads(metadata["model"])).to_dict()
    except (OSError, SafetensorError, ValueError, TypeError, LookupError) as error:
        raise InputError(
            f"{path} is no file of LoRA parameters: {error!r}", "name one that was written by training"
        ) from error
    mine = model.config.to_dict()
    for name in mine:
        if shape[name] != mine[name]:
            raise ContractError(
                f"{path} was trained on a model with {name} = {shape[name]}, this one has {mine[name]}",
                "use the model that it was trained on",
            )
    inject(model, lora)
    parameters = dict(lora_parameters(model))
    wrong = [
        name
        for name in sorted(parameters.keys() | state.keys())
        if name not in parameters or name not in state or parameters[name].shape != state[name].shape
    ]
    if wrong:
        raise InputError(f"{path}: {wrong[0]} is missing, unknown or of another shape", "train again")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(state[name])
    return lora
