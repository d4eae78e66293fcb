"""Hugging Face's config.json as a `ModelConfig` and back, for the architectures that our transformer can be.

Strict: a field that is neither known nor empty is refused by name, because whatever it switches on, we do not compute.

In:  config.json of a model with `model_type` qwen3, llama or gpt2 (transformers 4 and 5 spell rotary settings apart).
Out: config.json that transformers loads without code of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ..core.errors import InputError
from ..core.settings_model import FAMILIES, Options
from .config import ModelConfig
from .hf_rope import read_rope, write_rope

WIDTHS = {
    "vocab_size": "vocab_size", "layers": "num_hidden_layers", "width": "hidden_size", "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads", "head_size": "head_dim", "feed_forward": "intermediate_size",
    "context": "max_position_embeddings", "norm_eps": "rms_norm_eps", "tied_embeddings": "tie_word_embeddings",
}  # fmt: skip
GPT2_WIDTHS = {
    "vocab_size": "vocab_size", "layers": "n_layer", "width": "n_embd", "heads": "n_head", "feed_forward": "n_inner",
    "context": "n_positions", "norm_eps": "layer_norm_epsilon", "tied_embeddings": "tie_word_embeddings",
}  # fmt: skip


@dataclass(frozen=True)
class Architecture:
    """What Hugging Face calls a model type: its options, its names of our fields, and what it must say."""

    class_name: str
    options: Options
    fields: Mapping[str, str]  # ours -> theirs
    defaults: Mapping[str, Any]  # of fields that config.json may leave out, by our names
    fixed: Mapping[str, Any]  # theirs -> the one value that our transformer computes; absent means this value
    free_heads: bool = field(default=True)  # whether kv_heads and head_size may differ from heads and width / heads


ARCHITECTURES = {
    "qwen3": Architecture(
        "Qwen3ForCausalLM", FAMILIES["qwen3"].options, WIDTHS,
        {"norm_eps": 1e-6, "tied_embeddings": False, "head_size": 128},
        {"hidden_act": "silu", "attention_bias": False, "use_sliding_window": False, "partial_rotary_factor": 1.0},
    ),
    "llama": Architecture(
        "LlamaForCausalLM", FAMILIES["llama"].options, WIDTHS,
        {"norm_eps": 1e-6, "tied_embeddings": False, "head_size": 0, "kv_heads": None},
        {
            "hidden_act": "silu", "attention_bias": False, "mlp_bias": False, "rope_interleaved": False,
            "partial_rotary_factor": 1.0,
        },
    ),
    "gpt2": Architecture(
        "GPT2LMHeadModel", FAMILIES["gpt2"].options, GPT2_WIDTHS,
        {"norm_eps": 1e-5, "tied_embeddings": True, "feed_forward": None},
        {
            "activation_function": "gelu_new", "scale_attn_weights": True, "add_cross_attention": False,
            "scale_attn_by_inverse_layer_idx": False, "reorder_and_upcast_attn": False,
        },
        free_heads=False,
    ),
}  # fmt: skip
READ_ONLY = {"rope_interleaved", "partial_rotary_factor"}  # fields of others' making
SAME = {"gelu_pytorch_tanh": "gelu_new", "swish": "silu"}  # names of one function
WITHOUT_EFFECT = """
    model_type architectures transformers_version _name_or_path torch_dtype dtype use_cache return_dict
    output_hidden_states output_attentions id2label label2id problem_type bos_token_id eos_token_id pad_token_id
    initializer_range attention_dropout resid_pdrop embd_pdrop attn_pdrop pretraining_tp max_window_layers
    sliding_window rope_theta rope_scaling rope_parameters layer_types n_ctx predict_special_tokens task_specific_params
    gradient_checkpointing is_llama_config transformers.js_config _num_labels tokenizer_class unsloth_version
    summary_type summary_use_proj summary_activation summary_proj_to_labels summary_first_dropout
    """


def read_config(raw: Mapping[str, Any], where: str) -> ModelConfig:
    """The configuration that a config.json describes. `where` names the file in errors.

    Raises InputError for an architecture that is not ours, and for a field that changes what would be computed.
    """
    kind = raw.get("model_type")
    if kind not in ARCHITECTURES:
        raise InputError(
            f"{where}: model_type is {kind!r}, which this program has no transformer for",
            f"models that can be imported: {', '.join(ARCHITECTURES)}",
        )
    architecture = ARCHITECTURES[kind]
    for name, value in architecture.fixed.items():
        found = raw.get(name, value)
        if SAME.get(found, found) != value:
            _refuse(where, name, found, f"this program computes {name} = {value!r} only")
    if wrong := [one for one in raw.get("layer_types") or [] if one != "full_attention"]:
        _refuse(where, "layer_types", wrong[0], "this program computes full attention only")
    known = {*architecture.fields.values(), *architecture.fixed, *WITHOUT_EFFECT.split()}
    for name, value in raw.items():
        if name not in known and value not in (None, False, 0, "", [], {}):
            _refuse(where, name, value, "it is unknown here: remove it if it does not change what the model computes")
    values: dict[str, Any] = {}
    for ours, theirs in architecture.fields.items():
        value = raw.get(theirs)
        if value is None and ours not in architecture.defaults:
            raise InputError(f"{where}: {theirs} is missing", "take the config.json that belongs to the weights")
        values[ours] = architecture.defaults[ours] if value is None else value
    values["kv_heads"] = values.get("kv_heads") or values["heads"]
    values["feed_forward"] = values["feed_forward"] or 4 * values["width"]
    theta, scaling = read_rope(raw, where)
    return ModelConfig(**asdict(architecture.options) | values, rope_theta=theta, rope_scaling=scaling)


def write_config(config: ModelConfig) -> dict[str, Any]:
    """The config.json of a model. Raises InputError when no architecture of Hugging Face's computes it."""
    kind = model_type(config)
    architecture = ARCHITECTURES[kind]
    found: dict[str, Any] = {"architectures": [architecture.class_name], "model_type": kind, "dtype": "float32"}
    found |= {theirs: getattr(config, ours) for ours, theirs in architecture.fields.items()}
    found |= {name: value for name, value in architecture.fixed.items() if name not in READ_ONLY}
    if config.positions == "rotary":
        found |= write_rope(config) | {"attention_dropout": 0.0}
    else:
        found |= {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    return found


def model_type(config: ModelConfig, of: str = "Hugging Face") -> str:
    """The architecture that computes what our transformer does with these options; `of` says whose, in the error."""
    differences = {kind: _differences(config, architecture) for kind, architecture in ARCHITECTURES.items()}
    nearest = min(differences, key=lambda kind: len(differences[kind]))
    if differences[nearest]:
        raise InputError(
            f"no {of} architecture computes this model; the nearest is {nearest}, but "
            + ", ".join(differences[nearest]),
            f"models that can be exported: {', '.join(ARCHITECTURES)}, with these options as their families have them",
        )
    return nearest


def _differences(config: ModelConfig, architecture: Architecture) -> list[str]:
    free = {"tied_embeddings", "norm_eps"}
    wanted = {name: value for name, value in asdict(architecture.options).items() if name not in free}
    if not architecture.free_heads:
        wanted |= {"kv_heads": config.heads, "attention_width": config.width}
    found = {name: getattr(config, name) for name in wanted}
    return [f"{name} is {found[name]!r}, not {value!r}" for name, value in wanted.items() if found[name] != value]


def _refuse(where: str, name: str, value: Any, why: str) -> None:
    raise InputError(f"{where}: {name} is {value!r}: the model would be computed wrongly", why)
