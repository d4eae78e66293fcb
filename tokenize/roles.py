"""Which special tokens a tokenizer that was made elsewhere begins and ends texts with, by the files beside it.

    tokenizer_config.json, special_tokens_map.json    bos_token, eos_token, pad_token

A document begins with `<|endoftext|>` where the tokenizer has it, as ours do; else with its bos_token, or eos_token.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from ..core.errors import InputError

CONFIG, MAP = "tokenizer_config.json", "special_tokens_map.json"
ROLES = ("bos_token", "eos_token", "pad_token")


def document_begin(folder: Path, special: Collection[str], usual: str) -> str | None:
    """The special token that documents begin with, `usual` if there is such a one; None when the folder names none."""
    roles = read_roles(folder)
    found = [one for one in (usual, roles.get("bos_token"), roles.get("eos_token")) if one in special]
    return found[0] if found else None


def read_roles(folder: Path) -> dict[str, str]:
    """Texts of those of bos_token, eos_token and pad_token that the folder names."""
    config = read_object(folder / MAP) | {key: one for key, one in read_object(folder / CONFIG).items() if one}
    found = {name: config.get(name) for name in ROLES}
    texts = {name: one.get("content") if isinstance(one, dict) else one for name, one in found.items()}
    return {name: one for name, one in texts.items() if isinstance(one, str)}


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is no file. Raises InputError for anything else."""
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not readable: {error}", "fetch the file again") from error
    if not isinstance(found, dict):
        raise InputError(f"{path} holds a {type(found).__name__}, not an object", "fetch the file again")
    return found
