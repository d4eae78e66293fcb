"""The tokenizer of a run: byte-level BPE behind four special tokens.

A text goes in as ordinary text only: special tokens come into a token stream by their ids, never by being spelled, so
that no document and no user can end a text or take the assistant's turn by writing `<|end|>`. Every byte has a token:
nothing is unknown, and decode(encode(text)) == text.

Byte-level BPE: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.2. The file is the
`tokenizer.json` of the `tokenizers` library; it also loads in transformers, where special tokens are matched as usual.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import tokenizers

from ..core.errors import InputError
from ..core.log import log
from ..core.remote_path import path_of
from .encoders import Encoder, LibraryEncoder, candidates, choose, valid
from .probes import probes
from .roles import CONFIG, MAP, document_begin
from .verdict import read_verdict
from .vocabulary import Unknown, read_vocabulary, token_bytes

END_OF_TEXT = "<|endoftext|>"
USER = "<|user|>"
ASSISTANT = "<|assistant|>"
END = "<|end|>"
SPECIAL_TOKENS = (END_OF_TEXT, USER, ASSISTANT, END)  # every tokenizer has them; of one made here their ids are 0..3


class Tokenizer:
    """Text to token ids and back. Made of the bytes of a tokenizer.json; `load` reads them from a file.

    verdict: the encoder that passed the thorough check, None where none was made. No other is used then but the
    library, as no other passed it. end_of_text: of a tokenizer made elsewhere, the special token that documents
    begin with; it needs none of our four. `load` finds it (tokenize/roles.py).
    """

    def __init__(
        self, data: bytes, name: str = "tokenizer.json", verdict: str | None = None, end_of_text: str | None = None
    ) -> None:
        try:
            self._tokenizer = tokenizers.Tokenizer.from_buffer(data)
        except Exception as error:  # the library raises plain Exception
            raise InputError(
                f"{name} is not a tokenizer: {error}", "remove the stage's folder, and run it again"
            ) from error
        described = json.loads(data)
        added = described.get("added_tokens") or []
        self._special = {one["content"]: one["id"] for one in added if one["special"]}
        self._plain = frozenset(one["content"] for one in added if not one["special"])
        for special in SPECIAL_TOKENS if end_of_text is None else (end_of_text,):
            if special not in self._special:
                raise InputError(
                    f"{name} has no special token {special}",
                    "use a tokenizer that this made, or one whose bos_token a tokenizer_config.json beside it names",
                )
        self._tokenizer.encode_special_tokens = True  # spelled special tokens are text
        self._data, self._name, self._end_of_text = data, name, end_of_text
        self._characters = bool(described["model"].get("byte_fallback"))
        self.digest: str = hashlib.sha256(data).hexdigest()
        self.verdict = verdict
        self.vocab_size: int = max(self._tokenizer.get_vocab().values(), default=-1) + 1
        self.end_of_text: int = self.special(end_of_text or END_OF_TEXT)

    @classmethod
    def load(cls, path: str | Path) -> Tokenizer:
        """Read a tokenizer.json, and the verdict beside it. Raises InputError when there is none, or something else."""
        try:
            data = path_of(path).read_bytes()
        except OSError as error:
            raise InputError(f"no tokenizer at {path}: {error.strerror}", "run the stage `tokenizer` first") from error
        verdict = read_verdict(path_of(path), hashlib.sha256(data).hexdigest())
        return cls(data, str(path), verdict, _made_elsewhere(path_of(path), data))

    def __reduce__(self) -> tuple[type[Tokenizer], tuple[bytes, str, str | None, str | None]]:
        return Tokenizer, (self._data, self._name, self.verdict, self._end_of_text)

    @property
    def prefix_id(self) -> int:
        """What the likelihood of a text without anything before it depends on."""
        return self.end_of_text

    @property
    def stop_ids(self) -> frozenset[int]:
        """What ends a text that a base model writes; answers end otherwise (tokenize/given.py, chat_templates.py)."""
        return frozenset([self.end_of_text])

    @property
    def data(self) -> bytes:
        """The tokenizer.json."""
        return self._data

    @property
    def name(self) -> str:
        """The file that it was read from, for messages."""
        return self._name

    def encode(self, text: str) -> list[int]:
        """Ids of a text. No special token is among them. A lone surrogate counts as U+FFFD."""
        return self._tokenizer.encode(valid(text), add_special_tokens=False).ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of many texts, on as many threads as the library takes (RAYON_NUM_THREADS, TOKENIZERS_PARALLELISM)."""
        return [
            one.ids
            for one in self._tokenizer.encode_batch_fast([valid(text) for text in texts], add_special_tokens=False)
        ]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of the ids; special tokens give nothing, broken UTF-8 gives U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        """Bytes of the ids. A token may hold a part of a character: when streaming, join bytes before decoding."""
        size = self.vocab_size  # embeddings of others have rows behind it that stand for nothing
        return b"".join([self._bytes[index] for index in ids if index < size])

    def special(self, name: str) -> int:
        """Id of a special token, given as one of the constants above or as the recipe spells it."""
        return self._special[name]

    @property
    def special_tokens(self) -> dict[str, int]:
        """All special tokens and their ids."""
        return dict(self._special)

    @cached_property
    def encoder(self) -> Encoder:
        """The encoder of the verdict, or the fastest, if a short check finds this tokenizer's ids; else the library's.
        The check is made once in a process."""
        return _checked(self.digest, self._data, self.end_of_text, self.verdict)

    def check_encoder(self, texts: Sequence[str]) -> Encoder:
        """The fastest after a thorough check, on these texts too, which is the verdict from now on: for a vocabulary
        that is new. Takes some seconds."""
        self.__dict__["encoder"] = _checked(self.digest, self._data, self.end_of_text, None, True, tuple(texts))
        self.verdict = self.encoder.name
        return self.encoder

    def token_bytes(self) -> np.ndarray:
        """int32 [vocab_size]: how many bytes of UTF-8 each token stands for; 0 for special tokens."""
        return np.array([len(one) for one in self._bytes], dtype=np.int32)

    @cached_property
    def _bytes(self) -> list[bytes]:
        """Bytes of each token, by id."""
        vocab = self._tokenizer.get_vocab()
        return token_bytes(vocab, self._special, self.vocab_size, self._characters, self._plain)


def _made_elsewhere(path: Path, data: bytes) -> str | None:
    """What documents begin with by the files beside a tokenizer.json that has not our special tokens."""
    if not any((path.parent / name).exists() for name in (CONFIG, MAP)):
        return None
    try:
        special = {one["content"] for one in json.loads(data)["added_tokens"] if one["special"]}
    except (ValueError, LookupError, TypeError):
        return None  # no tokenizer: the constructor says so
    return None if special.issuperset(SPECIAL_TOKENS) else document_begin(path.parent, special, END_OF_TEXT)


@lru_cache(maxsize=4)
def _checked(
    digest: str,
    data: bytes,
    end_of_text: int,
    verdict: str | None,
    thorough: bool = False,
    texts: tuple[str, ...] = (),
) -> Encoder:
    tokenizer = tokenizers.Tokenizer.from_buffer(data)
    tokenizer.encode_special_tokens = True
    library = LibraryEncoder(tokenizer, end_of_text)
    try:
        vocabulary = read_vocabulary(data)
    except Unknown as error:
        log.warning("the tokenizers library encodes, as nothing faster knows this tokenizer: %s", error)
        return library
    made = candidates(vocabulary, end_of_text)
    if verdict is not None:
        made = {name: make for name, make in made.items() if name == verdict}
    return choose(made, library, [*probes(thorough), *texts])
