"""Our parameters by Hugging Face's names, in safetensors files, and back.

Where the names differ alone, a tensor of theirs is one of ours. GPT-2 keeps queries, keys and values in one matrix, and
all its matrices transposed (its Conv1D computes x · W, a Linear x · Wᵀ).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..core.errors import InputError
from .config import ModelConfig

FILE, INDEX = "model.safetensors", "model.safetensors.index.json"
LLAMA_NAMES = {
    "embedding": "model.embed_tokens", "blocks": "model.layers", "norm": "model.norm", "head": "lm_head",
    "attention_norm": "input_layernorm", "feed_forward_norm": "post_attention_layernorm",
    "attention": "self_attn", "query": "q_proj", "key": "k_proj", "value": "v_proj", "output": "o_proj",
    "query_norm": "q_norm", "key_norm": "k_norm",
    "feed_forward": "mlp", "gate": "gate_proj", "up": "up_proj", "down": "down_proj",
}  # fmt: skip
GPT2_NAMES = {
    "embedding": "transformer.wte", "position_embedding": "transformer.wpe", "blocks": "transformer.h",
    "norm": "transformer.ln_f", "head": "lm_head", "attention_norm": "ln_1", "feed_forward_norm": "ln_2",
    "attention": "attn", "query": "c_attn", "key": "c_attn", "value": "c_attn", "output": "c_proj",
    "feed_forward": "mlp", "up": "c_fc", "down": "c_proj",
}  # fmt: skip
TABLES = {"qwen3": LLAMA_NAMES, "llama": LLAMA_NAMES, "gpt2": GPT2_NAMES}
PICKLES = (".bin", ".pt", ".pth", ".ckpt")
NOT_PARAMETERS = (".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq")  # buffers that older files carry


@dataclass
class Piece:
    """One tensor of Hugging Face's: ours along the first axis, one behind the other, perhaps transposed then."""

    ours: list[str]
    transposed: bool


def layout(config: ModelConfig, kind: str) -> dict[str, Piece]:
    """Their names, and what of ours each holds, for a model type of model/hf_config.py."""
    table = TABLES[kind]
    found: dict[str, Piece] = {}
    for name, shape in config.shapes().items():
        theirs = ".".join(table.get(part, part) for part in name.split("."))
        turned = kind == "gpt2" and len(shape) == 2 and name.startswith("blocks.")
        found.setdefault(theirs, Piece([], turned)).ours.append(name)
    return found


def write_weights(folder: Path, config: ModelConfig, kind: str, state: Mapping[str, Tensor]) -> None:
    """One safetensors file of all parameters, as float32. `state` is the transformer's state_dict."""
    tensors: dict[str, Tensor] = {}
    for theirs, piece in layout(config, kind).items():
        whole = torch.cat([state[name].float().cpu() for name in piece.ours])
        tensors[theirs] = (whole.T if piece.transposed else whole).contiguous()
    save_file(tensors, folder / FILE, metadata={"format": "pt"})


def read_weights(folder: Path, config: ModelConfig, kind: str) -> dict[str, Tensor]:
    """All parameters by our names, as float32.

    Raises InputError naming the tensor that is missing, unknown or misshapen.
    """
    pieces, shapes = layout(config, kind), config.shapes()
    state: dict[str, Tensor] = {}
    for name, whole in _tensors(folder):
        theirs = name if name in pieces or kind != "gpt2" else f"transformer.{name}"  # OpenAI's file has no prefix
        if name.endswith(NOT_PARAMETERS) or (theirs.endswith("lm_head.weight") and config.tied_embeddings):
            continue
        if theirs not in pieces:
            raise InputError(
                f"{folder}: unknown tensor {name}", f"a {kind} as config.json describes it has no such one"
            )
        piece = pieces.pop(theirs)
        whole = (whole.T if piece.transposed else whole).float()
        sizes = [shapes[ours][0] for ours in piece.ours]
        wanted = (sum(sizes), *shapes[piece.ours[0]][1:])
        if tuple(whole.shape) != wanted:
            raise InputError(
                f"{folder}: {name} has the shape {list(whole.shape)}, config.json asks for {list(wanted)}"
                + (" (transposed)" if piece.transposed else ""),
                "take config.json and weights of one model",
            )
        for ours, part in zip(piece.ours, whole.split(sizes), strict=True):
            state[ours] = part.contiguous()
    if pieces:
        raise InputError(
            f"{folder}: tensor {next(iter(pieces))} is missing", "take config.json and weights of one model"
        )
    return state


def _tensors(folder: Path) -> Iterator[tuple[str, Tensor]]:
    """All tensors of model.safetensors, or of the files that its index names, one at a time."""
    files = [folder / FILE]
    if (folder / INDEX).is_file():
        try:
            index = json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"]
        except (ValueError, KeyError) as error:
            raise InputError(f"{folder / INDEX} is no index of weights: {error}", "fetch the file again") from error
        files = sorted({folder / name for name in index.values()})
    for file in files:
        if not file.is_file():
            raise _no_weights(folder, file)
        try:
            with safe_open(file, framework="pt") as opened:
                for name in opened.keys():  # noqa: SIM118 (no mapping)
                    yield name, opened.get_tensor(name)
        except SafetensorError as error:
            raise InputError(f"{file} is broken: {error}", "fetch the file again") from error


def _no_weights(folder: Path, file: Path) -> InputError:
    pickles = sorted(one.name for ending in PICKLES for one in folder.glob(f"*{ending}"))
    convert = f"AutoModelForCausalLM.from_pretrained({str(folder)!r}).save_pretrained(…), where you trust it"
    if pickles:
        return InputError(
            f"no weights at {file}: {pickles[0]} is a pickle, which can run any code when it is read",
            f"only safetensors are read: convert it with transformers: {convert}",
        )
    return InputError(f"no weights at {file}", "only safetensors are read: convert other files with transformers")
