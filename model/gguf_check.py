"""A GGUF file read back, and compared with the model and the tokenizer that it was made of, before it gets its name.

Of the metadata the shape is compared as it is understood, the rest (`general.*`, `tokenizer.*`) as it was written.

F32 must be the same bits, F16 and BF16 the nearest of their values, Q8_0 within half a step of its block's scale. The
scale is amax / 127 of 32 values, itself rounded to F16: 127 steps of 2^-11 of it, or of the smallest F16.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..core.errors import StageError
from .config import ModelConfig
from .gguf_config import FREQUENCIES, read_metadata, write_metadata
from .gguf_file import GgufFile
from .gguf_weights import KINDS, Kind, encoding_of, layout, read_weights

BLOCK = 32


def check_written(
    path: Path,
    config: ModelConfig,
    kind: str,
    state: Mapping[str, Tensor],
    encoding: str,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Raise StageError naming the first key or tensor that the file does not give back. `metadata`: all that was
    written by key."""
    file = GgufFile(path)
    _check_words(path, file.metadata, metadata or {})
    factors = file.tensor(FREQUENCIES) if FREQUENCIES in file.shapes else None
    found, _ = read_metadata(file.metadata, file.shapes, factors, str(path))
    wanted, read = (_rounded(write_metadata(one, kind)) for one in (config, found))
    for name, value in wanted.items():
        if read[name] != value:
            raise _otherwise(path, f"{kind}.{name} is {read[name]}, not {value}")
    if (found.tied_embeddings, found.rope_scaling is None) != (config.tied_embeddings, config.rope_scaling is None):
        raise _otherwise(path, "output.weight or rope_freqs.weight is not as in the model")
    values = read_weights(file, found, kind)
    for theirs, piece in layout(config, kind).items():
        as_kind = encoding_of(theirs, file.shapes[theirs], KINDS[encoding])
        for ours in piece.ours:
            if not same_values(state[ours].detach().float().cpu(), values[ours], as_kind):
                raise _otherwise(path, f"{theirs} does not hold {ours}")


def _check_words(path: Path, found: Mapping[str, Any], written: Mapping[str, Any]) -> None:
    """Keys that stand beside the shape; empty texts are not written."""
    wanted = {key: one for key, one in written.items() if key.startswith(("general.", "tokenizer.")) and one != ""}
    for key, value in wanted.items():
        if key not in found:
            raise _otherwise(path, f"{key} is missing")
        if found[key] != value:
            raise _otherwise(path, f"{key} is {_short(found[key])}, not {_short(value)}")
    if more := sorted(key for key in found if key.startswith("tokenizer.") and written and key not in wanted):
        raise _otherwise(path, f"{more[0]} is {_short(found[more[0]])}, and was not written")


def _short(value: Any) -> str:
    said = repr(value)
    return said if len(said) <= 60 else f"{said[:60]}…"


def same_values(exact: Tensor, read: Tensor, kind: Kind) -> bool:
    """Whether `read` is what an encoding keeps of `exact`, both by our shapes."""
    if kind == Kind.Q8_0:
        error = (exact - read).abs().unflatten(-1, (-1, BLOCK))
        step = exact.abs().unflatten(-1, (-1, BLOCK)).amax(-1, keepdim=True) / 127
        return bool((error <= step * (0.5 + 127 * 2**-11) + 127 * 2**-25).all())
    rounded = {Kind.F32: exact, Kind.F16: exact.half(), Kind.BF16: exact.to(torch.bfloat16)}[kind]
    return torch.equal(rounded.float(), read)


def _rounded(metadata: Mapping[str, int | float]) -> dict[str, int | np.float32]:
    return {name: np.float32(one) if isinstance(one, float) else one for name, one in metadata.items()}


def _otherwise(path: Path, what: str) -> StageError:
    return StageError(f"{path} reads back otherwise than it was written: {what}", "see to the disk, and export again")
