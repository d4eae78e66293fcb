"""Which encoder passed the thorough check of a vocabulary, kept beside it, so that no worker takes a faster one.

    encoder.json    {encoder: compiled | tiktoken | library, tokenizer_digest}

It changes no id, and so is part of no fingerprint and no digest: the manifest has the name among its notes. A verdict
on another tokenizer.json counts for nothing.
"""

from __future__ import annotations

import json
from pathlib import Path

from ..core.errors import InputError
from ..core.files import write_json

FILE = "encoder.json"


def read_verdict(tokenizer: Path, digest: str) -> str | None:
    """The name of the encoder for the tokenizer.json at this path, whose digest this is; None before it was checked.

    Raises InputError when the file is there and no verdict.
    """
    path = tokenizer.with_name(FILE)
    if not path.exists():
        return None
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return str(kept["encoder"]) if kept["tokenizer_digest"] == digest else None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} does not say which encoder was checked: {error!r}", "remove the file; the check is made again"
        ) from error


def keep_verdict(tokenizer: Path, digest: str, encoder: str) -> None:
    """Keep the encoder's name beside the tokenizer.json at this path."""
    write_json(tokenizer.with_name(FILE), {"encoder": encoder, "tokenizer_digest": digest})
