"""The metadata of a GGUF file as a `ModelConfig` and back, for the architectures that our transformer can be.

Strict, as model/hf_config.py: a key of the architecture's that is neither known here nor empty is refused by name. What
GGUF does not say follows from the tensors: tied embeddings from an absent output.weight, the vocabulary's size from the
embedding, Llama 3's stretching of rotary angles from rope_freqs.weight, which holds what each frequency is divided by.

Keys: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from ..core.errors import InputError, RecipeError
from .config import ModelConfig
from .gguf_rope import read_factors
from .hf_config import ARCHITECTURES

Metadata = Mapping[str, Any]
EMBEDDING, FREQUENCIES = "token_embd.weight", "rope_freqs.weight"
WIDTHS = {
    "context": "context_length", "width": "embedding_length", "layers": "block_count",
    "feed_forward": "feed_forward_length", "heads": "attention.head_count",
}  # fmt: skip
EPS = {"rms": "attention.layer_norm_rms_epsilon", "layer": "attention.layer_norm_epsilon"}
ROTARY = ("attention.key_length", "attention.value_length", "rope.dimension_count")  # each the head size here
SAME = {  # values without effect, beside none and zero
    "rope.scaling.type": "none", "rope.scaling.factor": 1.0, "rope.scaling.attn_factor": 1.0, "rope.scale_linear": 1.0,
    "attention.causal": True,
}  # fmt: skip
WITHOUT_EFFECT = {"vocab_size", "tensor_data_layout", "rope.scaling.finetuned", "rope.scaling.original_context_length"}


def write_metadata(config: ModelConfig, kind: str) -> dict[str, int | float]:
    """The keys of an architecture, without its name before them; whole numbers are uint32, others float32.

    Raises InputError for Llama 3's stretching of rotary angles elsewhere than in a llama: llama.cpp has no other.
    """
    if config.rope_scaling is not None and kind != "llama":
        raise InputError(
            f"the model stretches rotary angles ({config.rope_scaling}): GGUF's {kind} has no place for it",
            "export --format hf",
        )
    found: dict[str, int | float] = {theirs: getattr(config, ours) for ours, theirs in WIDTHS.items()}
    found |= {EPS[config.norm]: config.norm_eps, "vocab_size": config.vocab_size}
    if kind != "gpt2":
        found |= {"attention.head_count_kv": config.kv_heads, "rope.freq_base": config.rope_theta}
        found |= dict.fromkeys(ROTARY, config.head_size)
    return found


def read_metadata(
    metadata: Metadata, shapes: Mapping[str, tuple[int, ...]], factors: np.ndarray | None, where: str
) -> tuple[ModelConfig, str]:
    """The configuration, and the architecture's name. `shapes` are the tensors', rows first; `factors` is the tensor
    rope_freqs.weight, None where there is none; `where` names the file in errors.

    Raises InputError for an architecture that is not ours, and for a key that changes what would be computed.
    """
    kind = metadata.get("general.architecture")
    if kind not in ARCHITECTURES:
        raise InputError(
            f"{where}: general.architecture is {kind!r}, which this program has no transformer for",
            f"models that can be imported: {', '.join(ARCHITECTURES)}",
        )
    own = {key.removeprefix(f"{kind}."): value for key, value in metadata.items() if key.startswith(f"{kind}.")}
    options = ARCHITECTURES[kind].options
    wanted = {**WIDTHS, "norm_eps": EPS[options.norm]}
    if absent := [theirs for theirs in wanted.values() if theirs not in own]:
        raise InputError(f"{where}: {kind}.{absent[0]} is missing", "convert the model again")
    if EMBEDDING not in shapes:
        raise InputError(f"{where}: tensor {EMBEDDING} is missing", "convert the model again")
    values: dict[str, Any] = {ours: _number(where, f"{kind}.{theirs}", own[theirs]) for ours, theirs in wanted.items()}
    values["vocab_size"] = shapes[EMBEDDING][0]
    values["tied_embeddings"] = "output.weight" not in shapes
    values["kv_heads"], values["head_size"] = values["heads"], values["width"] // max(1, values["heads"])
    known = {*wanted.values(), *WITHOUT_EFFECT}
    if kind != "gpt2":
        values |= _rotary(own, values, factors, where, kind)
        known |= {*ROTARY, "attention.head_count_kv", "rope.freq_base"}
    for name, value in own.items():
        if name not in known and value not in (None, False, 0, "", SAME.get(name)):
            raise InputError(
                f"{where}: {kind}.{name} is {str(value)[:60]}: the model would be computed wrongly",
                "this program has no such part; take a model without it",
            )
    try:
        return ModelConfig(**asdict(options) | values), kind
    except RecipeError as error:
        raise InputError(f"{where}: {error.message}", "convert the model again") from error


def _rotary(
    own: Metadata, values: Mapping[str, Any], factors: np.ndarray | None, where: str, kind: str
) -> dict[str, Any]:
    head = _number(where, f"{kind}.{ROTARY[0]}", own.get(ROTARY[0], values["head_size"]))
    for name in ROTARY[1:]:
        if own.get(name, head) != head:
            raise InputError(
                f"{where}: {kind}.{name} is {own[name]}, but heads have {head} components: "
                "the model would be computed wrongly",
                "this program rotates whole heads, with values as wide as keys; take another model",
            )
    theta = float(own.get("rope.freq_base", 10_000.0))
    grouped = "attention.head_count_kv"
    return {
        "head_size": head,
        "kv_heads": _number(where, f"{kind}.{grouped}", own.get(grouped, values["heads"])),
        "rope_theta": theta,
        "rope_scaling": None if factors is None else read_factors(factors, head, theta, where),
    }


def _number(where: str, name: str, value: Any) -> Any:
    """The value, if it is one number; GGUF allows a list with one for each layer."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(
            f"{where}: {name} is {str(value)[:60]}, not one number",
            "this program has layers that are all alike; take another model",
        )
    return value
