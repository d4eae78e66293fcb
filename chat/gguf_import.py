"""A GGUF file as a model of ours, with its tokenizer in Hugging Face's files.

Weights of any encoding that the `gguf` package decodes become float32. The tokenizer is the file's own tokenizer.json
where it carries one with the same tokens (tokenizer.huggingface.json), else it is made of its tokens, merges and the
name of its pre-tokenizer. The chat template stays the Jinja source that it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..core.errors import ContractError, InputError
from ..core.files import write_json, write_text
from ..model.gguf_config import FREQUENCIES, read_metadata
from ..model.gguf_file import GgufFile
from ..model.gguf_weights import read_weights
from ..model.transformer import Transformer
from ..tokenize.gguf_tokens import TEXT, GgufTokens, from_gguf
from ..tokenize.roles import CONFIG

ROLES = {"bos_token": "bos", "eos_token": "eos", "pad_token": "padding"}
STOPS = ("eos", "eot", "eom")


@dataclass(frozen=True)
class GgufModel:
    """`tokenizer` is a tokenizer.json; `config` and `generation` are Hugging Face's tokenizer_config.json and
    generation_config.json; `source` says where the model is from."""

    model: Transformer
    tokenizer: bytes
    config: dict[str, Any]
    generation: dict[str, Any]
    source: dict[str, str]


def read_gguf_model(path: Path) -> GgufModel:
    """Raises InputError naming file and key or tensor for what is broken or what our transformer does not compute,
    ContractError when tokenizer and embedding do not fit."""
    file = GgufFile(path)
    factors = file.tensor(FREQUENCIES) if FREQUENCIES in file.shapes else None
    config, kind = read_metadata(file.metadata, file.shapes, factors, str(path))
    tokens = _tokens(file.metadata, path)
    if len(tokens.tokens) > config.vocab_size:
        raise ContractError(
            f"{path} has {len(tokens.tokens)} tokens, but embeddings for {config.vocab_size}", "convert the model again"
        )
    data = _own_json(file.metadata, tokens) or from_gguf(tokens, str(path))
    state = read_weights(file, config, kind)
    with torch.device("meta"):
        model = Transformer(config)
    model.load_state_dict(state, assign=True)
    about = {key: file.metadata.get(f"general.{key}") for key in ("name", "license")}
    return GgufModel(
        model.requires_grad_().eval(),
        data,
        _tokenizer_config(file.metadata, tokens, config.context, path),
        {"eos_token_id": sorted(set(_ids(file.metadata, STOPS, tokens, path).values()))},
        {"name": path.stem} | {key: str(value) for key, value in about.items() if value},
    )


def write_tokenizer(folder: Path, found: GgufModel) -> None:
    """The tokenizer's files into an existing folder."""
    write_text(folder / "tokenizer.json", found.tokenizer.decode())
    write_json(folder / CONFIG, found.config)
    write_json(folder / "generation_config.json", found.generation)


def _tokens(metadata: Mapping[str, Any], path: Path) -> GgufTokens:
    kind = metadata.get("tokenizer.ggml.model")
    if kind != "gpt2":
        raise InputError(
            f"{path}: tokenizer.ggml.model is {kind!r}: only byte-level BPE, which GGUF calls 'gpt2', is computed here",
            "take a model with such a tokenizer: GPT-2, Llama 3, Qwen, SmolLM and others",
        )
    for key in ("tokens", "merges"):
        if not isinstance(metadata.get(f"tokenizer.ggml.{key}"), list):
            raise InputError(f"{path}: tokenizer.ggml.{key} is missing", "convert the model again")
    tokens = metadata["tokenizer.ggml.tokens"]
    types = metadata.get("tokenizer.ggml.token_type") or [TEXT] * len(tokens)
    return GgufTokens(tokens, types, metadata["tokenizer.ggml.merges"], metadata.get("tokenizer.ggml.pre", "default"))


def _own_json(metadata: Mapping[str, Any], tokens: GgufTokens) -> bytes | None:
    """The tokenizer.json that the file carries, if it has the ids that the file's list has."""
    text = metadata.get("tokenizer.huggingface.json")
    if not isinstance(text, str):
        return None
    try:
        whole = json.loads(text)
        ids = whole["model"]["vocab"] | {one["content"]: one["id"] for one in whole["added_tokens"]}
        same = all(index >= 0 and tokens.tokens[index] == token for token, index in ids.items())
    except (ValueError, LookupError, TypeError):
        return None
    return text.encode() if same else None


def _ids(metadata: Mapping[str, Any], names: tuple[str, ...], tokens: GgufTokens, path: Path) -> dict[str, int]:
    """Ids of special tokens, those that the file names."""
    found = {}
    for name in names:
        key = f"tokenizer.ggml.{name}_token_id"
        if (index := metadata.get(key)) is not None:
            if not isinstance(index, int) or not 0 <= index < len(tokens.tokens):
                raise InputError(f"{path}: {key} is {index}, of {len(tokens.tokens)} tokens", "convert the model again")
            found[name] = index
    return found


def _tokenizer_config(metadata: Mapping[str, Any], tokens: GgufTokens, context: int, path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context,
        "clean_up_tokenization_spaces": False,
        "add_bos_token": bool(metadata.get("tokenizer.ggml.add_bos_token", False)),
    }
    ids = _ids(metadata, tuple(ROLES.values()), tokens, path)
    found |= {role: tokens.tokens[ids[name]] for role, name in ROLES.items() if name in ids}
    template = metadata.get("tokenizer.chat_template")
    return found | ({"chat_template": template} if isinstance(template, str) else {})
