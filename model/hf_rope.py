"""Rotary settings in Hugging Face's config.json: transformers 4 has rope_theta and rope_scaling, 5 rope_parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.errors import InputError
from .config import ModelConfig, RopeScaling

THETA = 10_000.0  # where a file says nothing
LLAMA3 = {
    "factor": "factor",
    "low_frequency": "low_freq_factor",
    "high_frequency": "high_freq_factor",
    "original_context": "original_max_position_embeddings",
}


def read_rope(raw: Mapping[str, Any], where: str) -> tuple[float, RopeScaling | None]:
    """Base and stretching of a config.json. Raises InputError for what our transformer does not compute."""
    rope = {**(raw.get("rope_parameters") or raw.get("rope_scaling") or {})}
    theta = float(rope.pop("rope_theta", None) or raw.get("rope_theta") or THETA)
    older, kind = rope.pop("type", None), rope.pop("rope_type", None)
    kind = kind or older or "default"
    if kind not in ("default", "llama3"):
        raise InputError(
            f"{where}: rope_type is {kind!r}: the model would be computed wrongly",
            "this program scales rotary positions as llama3 says, or not at all",
        )
    if rope.pop("partial_rotary_factor", 1.0) != 1.0:
        raise InputError(f"{where}: partial_rotary_factor is not 1", "this program rotates whole heads")
    if kind == "default":
        return theta, None
    if absent := [name for name in LLAMA3.values() if name not in rope]:
        raise InputError(f"{where}: rope_type llama3 without {absent[0]}", "take the model's own config.json")
    values = {ours: float(rope[theirs]) for ours, theirs in LLAMA3.items()}
    return theta, RopeScaling(**values | {"original_context": int(values["original_context"])})  # type: ignore[arg-type]


def write_rope(config: ModelConfig) -> dict[str, Any]:
    """The fields of config.json for rotary positions, for both versions."""
    scaling = config.rope_scaling
    rope: dict[str, Any] = {"rope_type": "llama3" if scaling else "default", "rope_theta": config.rope_theta}
    if scaling is not None:
        rope |= {theirs: getattr(scaling, ours) for ours, theirs in LLAMA3.items()}
    return {"rope_parameters": rope, "rope_theta": config.rope_theta, "rope_scaling": rope if scaling else None}
