"""Our parameters by GGUF's names, in its order of rows, in one of four encodings; and back from any.

    llama     queries and keys have their rows in another order: llama.cpp turns the pairs (2i, 2i + 1) of a head, we
              and Hugging Face the pairs (i, i + K/2)
    gpt2      queries, keys and values in one tensor; no tensor is transposed, unlike in Hugging Face's files
    tied      output.weight is left out

Encodings of an export: F32, F16, BF16, Q8_0 (blocks of 32 with one scale). Vectors and learned positions stay F32, as
llama.cpp's converter has them, and rows that are no multiple of 32 are F16 under Q8_0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import gguf
import numpy as np
import torch
from torch import Tensor

from ..core.errors import InputError
from .config import ModelConfig
from .gguf_config import FREQUENCIES
from .gguf_file import Encoded, GgufFile
from .gguf_rope import write_factors

Kind = gguf.GGMLQuantizationType
KINDS = {"f32": Kind.F32, "f16": Kind.F16, "bf16": Kind.BF16, "q8_0": Kind.Q8_0}
LARGEST_F16 = 65504.0
ROOT = {
    "embedding": "token_embd", "position_embedding": "position_embd", "norm": "output_norm", "head": "output",
}  # fmt: skip
BLOCK = {
    "attention_norm": "attn_norm", "attention.query": "attn_q", "attention.key": "attn_k", "attention.value": "attn_v",
    "attention.output": "attn_output", "attention.query_norm": "attn_q_norm", "attention.key_norm": "attn_k_norm",
    "feed_forward_norm": "ffn_norm", "feed_forward.gate": "ffn_gate", "feed_forward.up": "ffn_up",
    "feed_forward.down": "ffn_down",
}  # fmt: skip
JOINED = {"attn_q": "attn_qkv", "attn_k": "attn_qkv", "attn_v": "attn_qkv"}  # of gpt2


@dataclass
class Piece:
    """One tensor of GGUF's: ours along the first axis; `heads` whose rows are in another order, 0 where none are."""

    ours: list[str] = field(default_factory=list)
    heads: int = 0


def layout(config: ModelConfig, kind: str) -> dict[str, Piece]:
    """GGUF's names, and what of ours each holds, for an architecture of model/hf_config.py."""
    found: dict[str, Piece] = {}
    for name in config.shapes():
        place, _, last = name.rpartition(".")
        if place.startswith("blocks."):
            _, number, part = place.split(".", 2)
            theirs = BLOCK[part]
            heads = {"attn_q": config.heads, "attn_k": config.kv_heads}.get(theirs, 0) if kind == "llama" else 0
            theirs = JOINED.get(theirs, theirs) if kind == "gpt2" else theirs
            piece = found.setdefault(f"blk.{number}.{theirs}.{last}", Piece(heads=heads))
        else:
            piece = found.setdefault(f"{ROOT[place]}.{last}", Piece())
        piece.ours.append(name)
    return found


def encode_weights(config: ModelConfig, kind: str, state: Mapping[str, Tensor], encoding: str) -> dict[str, Encoded]:
    """All tensors of a file. `state` is the transformer's state_dict, `encoding` a key of KINDS.

    Raises InputError for a value that the encoding cannot hold.
    """
    found: dict[str, Encoded] = {}
    for theirs, piece in layout(config, kind).items():
        whole = torch.cat([state[name].detach().float().cpu() for name in piece.ours])
        if piece.heads:
            whole = whole.view(piece.heads, 2, -1, whole.shape[1]).transpose(1, 2).reshape(whole.shape)
        found[theirs] = _encoded(theirs, whole.contiguous().numpy(), KINDS[encoding])
    if config.rope_scaling is not None:
        factors = write_factors(config.rope_scaling, config.head_size, config.rope_theta)
        found[FREQUENCIES] = Encoded(factors, Kind.F32)
    return found


def read_weights(file: GgufFile, config: ModelConfig, kind: str) -> dict[str, Tensor]:
    """All parameters by our names, float32. Raises InputError naming a tensor that is missing, unknown or misshapen."""
    pieces, shapes = layout(config, kind), config.shapes()
    for theirs in [*file.shapes, *pieces]:
        if theirs not in pieces and theirs != FREQUENCIES:
            raise InputError(
                f"{file.path}: unknown tensor {theirs}", f"a {kind} as its metadata describes it has no such one"
            )
        if theirs not in file.shapes:
            raise InputError(f"{file.path}: tensor {theirs} is missing", "convert the model again")
    state: dict[str, Tensor] = {}
    for theirs, piece in pieces.items():
        sizes = [shapes[ours][0] for ours in piece.ours]
        wanted = (sum(sizes), *shapes[piece.ours[0]][1:])
        if file.shapes[theirs] != wanted:
            raise InputError(
                f"{file.path}: {theirs} has the shape {list(file.shapes[theirs])}, its metadata ask for {list(wanted)}",
                "convert the model again",
            )
        whole = torch.from_numpy(file.tensor(theirs))
        if piece.heads:
            whole = whole.view(piece.heads, -1, 2, whole.shape[1]).transpose(1, 2).reshape(whole.shape)
        state |= {ours: part.clone() for ours, part in zip(piece.ours, whole.split(sizes), strict=True)}
    return state


def encoding_of(name: str, shape: tuple[int, ...], kind: Kind) -> Kind:
    """The encoding that a tensor has in a file of this kind."""
    if len(shape) == 1 or name.startswith("position_embd"):
        return Kind.F32
    return Kind.F16 if kind == Kind.Q8_0 and shape[-1] % gguf.GGML_QUANT_SIZES[kind][0] else kind


def _encoded(name: str, values: np.ndarray, kind: Kind) -> Encoded:
    kind = encoding_of(name, values.shape, kind)
    largest = float(np.abs(values).max(initial=0))
    limit = {Kind.F16: LARGEST_F16, Kind.Q8_0: LARGEST_F16 * 127}.get(kind, float(np.finfo(np.float32).max))
    if not largest <= limit:
        raise InputError(
            f"{name} holds {largest:g}, more than {kind.name} can", "export with --type bf16 or --type f32"
        )
    return Encoded(gguf.quantize(values, kind), kind)
