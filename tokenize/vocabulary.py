"""A tokenizer.json taken apart: what encoders other than the library's need to know of it.

Two alphabets. `bytes`: text is spelled in bytes, each written as a printable character (GPT-2's convention); all 256
are tokens. `characters`: text is spelled in its characters; one that is no token is spelled in the 256 tokens that are
named <0x00>…<0xFF>.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

BYTE_TOKENS = tuple(f"<0x{byte:02X}>" for byte in range(256))
_PLAIN = {  # the model's settings beside vocab and merges, as all that are known here have them
    **{"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None},
    **{"end_of_word_suffix": None, "ignore_merges": False},
}


class Unknown(ValueError):
    """This tokenizer.json has something that is not known here."""


@dataclass(frozen=True)
class Vocabulary:
    """Tokens by id as bytes, b"" for special ones; merges by rank."""

    tokens: list[bytes]
    special: dict[str, int]
    merges: np.ndarray  # int64 [merges, 3]: the ids of left, right, and both together
    regex: str  # what cuts text into pieces
    byte_ids: np.ndarray  # int32 [256]
    character_ids: np.ndarray  # int32 [0x110000]: -1 for what is spelled in bytes; empty: all are

    @property
    def spelled_in_characters(self) -> bool:
        return len(self.character_ids) > 0


def read_vocabulary(data: bytes) -> Vocabulary:
    """Of the bytes of a tokenizer.json. Raises Unknown, saying why, for one that this project would not have made."""
    whole = json.loads(data)
    model, vocab = whole["model"], whole["model"].get("vocab", {})
    for key, expected in _PLAIN.items():
        if model.get(key, expected) not in (expected, ""):
            raise Unknown(f"model.{key} is {model[key]!r}, not {expected!r}")
    if whole.get("normalizer") is not None:
        raise Unknown(f"it has a normalizer: {whole['normalizer'].get('type')}")
    if any(not token["special"] for token in whole["added_tokens"]):
        raise Unknown("it has added tokens that are not special")
    special = {token["content"]: token["id"] for token in whole["added_tokens"]}
    regex, characters = _splitting(whole["pre_tokenizer"], bool(model.get("byte_fallback")))
    size = 1 + max([*vocab.values(), *special.values()])
    tokens = token_bytes(vocab, special, size, characters)
    byte_ids, character_ids = _alphabet(vocab, characters)
    pairs = [pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"]]
    merges = [(vocab[left], vocab[right], vocab[left + right]) for left, right in pairs]
    return Vocabulary(tokens, special, np.array(merges, np.int64).reshape(-1, 3), regex, byte_ids, character_ids)


def token_bytes(
    vocab: dict[str, int], special: dict[str, int], size: int, characters: bool, plain: Collection[str] = ()
) -> list[bytes]:
    """The bytes that each token stands for, by id; b"" for special tokens and for ids that no token has.

    plain: tokens that are spelled as the text that they stand for. Raises KeyError for a token in no alphabet."""
    byte_of = byte_of_character()
    spelled = {token: bytes([byte]) for byte, token in enumerate(BYTE_TOKENS)} if characters else {}
    table = [b""] * size
    for token, index in vocab.items():
        if token in plain:
            table[index] = token.encode()
        elif token not in special:
            table[index] = (
                spelled.get(token) or token.encode() if characters else bytes([byte_of[one] for one in token])
            )
    return table


def _splitting(pre_tokenizer: dict[str, Any] | None, characters: bool) -> tuple[str, bool]:
    """The regular expression that cuts, and whether the alphabet is characters."""
    steps = (pre_tokenizer or {}).get("pretokenizers", [pre_tokenizer])
    if not steps[0] or steps[0]["type"] != "Split" or "Regex" not in steps[0]["pattern"]:
        raise Unknown("its pre-tokenizer does not begin with a Split by a regular expression")
    if steps[0]["behavior"] != "Isolated" or steps[0]["invert"]:
        raise Unknown("its Split does not isolate what matches")
    rest = [(step["type"], step.get("add_prefix_space"), step.get("use_regex")) for step in steps[1:]]
    if rest != ([] if characters else [("ByteLevel", False, False)]):
        raise Unknown(f"its pre-tokenizer goes on with {rest}")
    return steps[0]["pattern"]["Regex"], characters


def _alphabet(vocab: dict[str, int], characters: bool) -> tuple[np.ndarray, np.ndarray]:
    names = BYTE_TOKENS if characters else {byte: one for one, byte in byte_of_character().items()}
    try:
        byte_ids = np.array([vocab[names[byte]] for byte in range(256)], np.int32)
    except KeyError as error:
        raise Unknown(f"no token for the byte {error}") from error
    character_ids = np.full(0x110000 if characters else 0, -1, np.int32)
    if characters:
        for token, index in vocab.items():
            if len(token) == 1:
                character_ids[ord(token)] = index
    return byte_ids, character_ids


def byte_of_character() -> dict[str, int]:
    """The byte that each character of a byte-level vocabulary stands for.

    The vocabulary is spelled in printable characters: a byte that is a printable character of Latin-1 stands for
    itself, the others are shifted, in order, to 256 and up (the convention of GPT-2's vocabulary files).
    """
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    rest = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + place): byte for place, byte in enumerate(rest)}
