"""What an evaluation needs of a tokenizer, and tokenizers of models that were made elsewhere.

The project's own (tokenize/bpe.py) has the special tokens of its chats; one that came with an imported model has
others, and may put a beginning-of-text token before every text. It is used as lm-evaluation-harness uses it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import tokenizers

from ..core.errors import InputError
from ..tokenize.bpe import SPECIAL_TOKENS, Tokenizer

ENDS = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|im_end|>")  # where no file says which it is


class TextTokenizer(Protocol):
    """Texts to ids and back."""

    digest: str
    end_of_text: int  # what an empty context is, and what ends an answer

    def encode(self, text: str) -> list[int]: ...

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]: ...

    def decode(self, ids: Sequence[int]) -> str: ...


class ForeignTokenizer:
    """A tokenizer.json of another maker, with the config.json that may lie beside it."""

    def __init__(self, path: Path) -> None:
        """Raises InputError for a file that is none, or that has no token for the end of a text."""
        data = _read(path)
        try:
            self._tokenizer = tokenizers.Tokenizer.from_buffer(data)
        except Exception as error:  # the library raises plain Exception
            raise InputError(f"{path} is not a tokenizer: {error}", "fetch the file again") from error
        self.digest = hashlib.sha256(data).hexdigest()
        self.end_of_text = self._end(path)

    def encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(text).ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        return [one.ids for one in self._tokenizer.encode_batch_fast(list(texts))]

    def decode(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(list(ids))

    def _end(self, path: Path) -> int:
        for name in ("config.json", "generation_config.json"):
            found = _fields(path.with_name(name)).get("eos_token_id")
            found = found[0] if isinstance(found, list) and found else found
            if isinstance(found, int):
                return found
        known = [found for name in ENDS if (found := self._tokenizer.token_to_id(name)) is not None]
        if not known:
            raise InputError(
                f"{path} has none of the tokens {', '.join(ENDS)}, and no config.json beside it names eos_token_id",
                "put the model's config.json beside it",
            )
        return known[0]


def open_tokenizer(path: Path) -> TextTokenizer:
    """The project's tokenizer where the file has its special tokens, else a foreign one. Raises InputError."""
    try:
        added = json.loads(_read(path)).get("added_tokens", [])
        names = {one["content"] for one in added if one["special"]}
    except (ValueError, AttributeError, LookupError, TypeError) as error:
        raise InputError(f"{path} is not a tokenizer: {error}", "fetch the file again") from error
    return Tokenizer.load(path) if names.issuperset(SPECIAL_TOKENS) else ForeignTokenizer(path)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"no tokenizer at {path}: {error.strerror}", "put the model's tokenizer.json there") from error


def _fields(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
