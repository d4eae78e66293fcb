"""The tokenizer of a run: byte-level BPE behind four special tokens.

A text goes in as ordinary text only: special tokens come into a token stream by their ids, never by being spelled, so
that no document and no user can end a text or take the assistant's turn by writing `<|end|>`. Every byte has a token:
nothing is unknown, and decode(encode(text)) == text.

Byte-level BPE: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.2. The file is the
`tokenizer.json` of the `tokenizers` library; it also loads in transformers, where special tokens are matched as usual.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import tokenizers

from ..core.errors import InputError

END_OF_TEXT = "<|endoftext|>"
USER = "<|user|>"
ASSISTANT = "<|assistant|>"
END = "<|end|>"
SPECIAL_TOKENS = (END_OF_TEXT, USER, ASSISTANT, END)  # their ids are 0..3


class Tokenizer:
    """Text to token ids and back. Made of the bytes of a tokenizer.json; `load` reads them from a file."""

    def __init__(self, data: bytes, name: str = "tokenizer.json") -> None:
        try:
            self._tokenizer = tokenizers.Tokenizer.from_buffer(data)
        except Exception as error:  # the library raises plain Exception
            raise InputError(
                f"{name} is not a tokenizer: {error}", "remove the stage's folder, and run it again"
            ) from error
        for index, special in enumerate(SPECIAL_TOKENS):
            found = self._tokenizer.token_to_id(special)
            if found != index:
                raise InputError(f"{name}: {special} has id {found}, not {index}", "use a tokenizer that this made")
        self._tokenizer.encode_special_tokens = True  # spelled special tokens are text
        self._data = data
        self.digest: str = hashlib.sha256(data).hexdigest()
        self.vocab_size: int = self._tokenizer.get_vocab_size()
        self.end_of_text: int = self.special(END_OF_TEXT)

    @classmethod
    def load(cls, path: str | Path) -> Tokenizer:
        """Read a tokenizer.json. Raises InputError when there is none, or it is something else."""
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise InputError(f"no tokenizer at {path}: {error.strerror}", "run the stage `tokenizer` first") from error
        return cls(data, str(path))

    def __reduce__(self) -> tuple[type[Tokenizer], tuple[bytes]]:
        return Tokenizer, (self._data,)

    def encode(self, text: str) -> list[int]:
        """Ids of a text. No special token is among them."""
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of many texts, on as many threads as the library takes (RAYON_NUM_THREADS, TOKENIZERS_PARALLELISM)."""
        return [one.ids for one in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of the ids; special tokens give nothing, broken UTF-8 gives U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        """Bytes of the ids. A token may hold a part of a character: when streaming, join bytes before decoding."""
        return b"".join([self._bytes[index] for index in ids])

    def special(self, name: str) -> int:
        """Id of a special token, given as one of the constants above."""
        return SPECIAL_TOKENS.index(name)

    def token_bytes(self) -> np.ndarray:
        """int32 [vocab_size]: how many bytes of UTF-8 each token stands for; 0 for special tokens."""
        return np.array([len(one) for one in self._bytes], dtype=np.int32)

    @cached_property
    def _bytes(self) -> list[bytes]:
        """Bytes of each token, by id."""
        byte_of = _byte_of_character()
        table = [b""] * self.vocab_size
        for token, index in self._tokenizer.get_vocab().items():
            if index >= len(SPECIAL_TOKENS):
                table[index] = bytes([byte_of[character] for character in token])
        return table


def _byte_of_character() -> dict[str, int]:
    """The byte that each character of a byte-level vocabulary stands for.

    The vocabulary is spelled in printable characters: a byte that is a printable character of Latin-1 stands for
    itself, the others are shifted, in order, to 256 and up (the convention of GPT-2's vocabulary files).
    """
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    rest = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + place): byte for place, byte in enumerate(rest)}
