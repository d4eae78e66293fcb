"""A transformer as a Hugging Face folder, and back: config.json, model.safetensors, generation_config.json.

The tokenizer's files are not the model's business: see chat/exporting.py.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch

from ..core.errors import InputError
from ..core.files import write_json
from .hf_config import model_type, read_config, write_config
from .hf_transfer import standard
from .hf_weights import read_weights, write_weights
from .transformer import Transformer


def read_model(folder: Path) -> Transformer:
    """The model of a Hugging Face folder, in float32 and evaluation mode.

    Raises InputError naming file and field when it is of another architecture, or file and tensor when weights and
    configuration do not belong together.
    """
    path = folder / "config.json"
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not readable: {error}", "give a folder in Hugging Face's form") from error
    if not isinstance(raw, dict):
        raise InputError(f"{path} holds a {type(raw).__name__}, not an object", "take the model's config.json")
    config = read_config(raw, str(path))
    state = read_weights(folder, config, raw["model_type"])
    with torch.device("meta"):
        model = Transformer(config)
    model.load_state_dict(state, assign=True)
    return model.requires_grad_().eval()


def write_model(folder: Path, model: Transformer, begin: int, stop: Sequence[int], pad: int | None = None) -> None:
    """Write the model into an existing folder. `begin` is the id that texts begin with, `stop` those that end them,
    `pad` what stands before shorter texts of a batch (`begin`, if it is left out). The factors of `model.transfer` and
    `scale_embedding` are in the weights then (model/hf_transfer.py).

    Raises InputError, before anything is written, when no architecture of Hugging Face's computes this model.
    """
    config, state = standard(model)
    kind = model_type(config)
    special = {"bos_token_id": begin, "eos_token_id": list(stop), "pad_token_id": begin if pad is None else pad}
    write_json(folder / "config.json", write_config(config) | special)
    write_json(folder / "generation_config.json", special)
    write_weights(folder, config, kind, state)
