"""A tokenizer.json as what a GGUF file says of a tokenizer, and back. Byte-level BPE only.

tokenizer.ggml.tokens       by id, spelled in GPT-2's printable characters
tokenizer.ggml.token_type   1 text; 3 special; 4 added, but text; 5 a place that no token has
tokenizer.ggml.merges       "left right", by rank
tokenizer.ggml.pre          how text is cut: tokenize/gguf_patterns.py
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers

from ..core.errors import InputError
from .gguf_patterns import NAMES, REGEXES, WHOLE_PIECES, name_of

TEXT, CONTROL, ADDED, UNUSED = 1, 3, 4, 5


@dataclass(frozen=True)
class GgufTokens:
    """`exact`: whether `pre` cuts every text as the tokenizer.json does."""

    tokens: list[str]
    types: list[int]
    merges: list[str]
    pre: str
    exact: bool = True


def to_gguf(data: bytes, size: int, where: str) -> GgufTokens:
    """The bytes of a tokenizer.json for a model with `size` embeddings. `where` names the file in errors.

    Raises InputError naming the setting for which a GGUF has no word.
    """
    whole = json.loads(data)
    model = whole["model"]
    if model.get("type") != "BPE" or model.get("byte_fallback"):
        raise InputError(
            f"{where} does not spell text in bytes (tokenizer.alphabet: characters): GGUF has no merges for that",
            "train with tokenizer.alphabet: bytes, or export --format hf",
        )
    found = name_of(whole.get("pre_tokenizer"))
    if found is None:
        raise InputError(
            f"{where} cuts text by {_described(whole.get('pre_tokenizer'))}, for which GGUF has no name",
            f"train with tokenizer.pattern: gpt2 or gpt4 (GGUF knows {', '.join(REGEXES)}), or export --format hf",
        )
    tokens = [f"[PAD{index}]" for index in range(size)]
    types = [UNUSED] * size
    added = {one["content"]: one for one in whole.get("added_tokens") or []}
    ids = model["vocab"] | {content: one["id"] for content, one in added.items()}
    for token, index in ids.items():
        kind = (CONTROL if added[token]["special"] else ADDED) if token in added else TEXT
        tokens[index], types[index] = token, kind
    merges = [one if isinstance(one, str) else " ".join(one) for one in model["merges"]]
    return GgufTokens(tokens, types, merges, *found)


def from_gguf(parts: GgufTokens, where: str) -> bytes:
    """A tokenizer.json with llama.cpp's ids. Raises InputError for parts that do not fit together."""
    name = NAMES.get(parts.pre)
    if name is None:
        raise InputError(
            f"{where}: tokenizer.ggml.pre is {parts.pre!r}: how it cuts text is not known here",
            f"known are {', '.join(NAMES)}; or import the model's Hugging Face folder",
        )
    if len(parts.types) != len(parts.tokens):
        raise InputError(
            f"{where} has {len(parts.tokens)} tokens, but {len(parts.types)} token types", "fetch the file again"
        )
    vocab = {
        token: index
        for index, (token, kind) in enumerate(zip(parts.tokens, parts.types, strict=True))
        if kind in (TEXT, CONTROL)
    }
    added = {index: token for index, token in enumerate(parts.tokens) if parts.types[index] == ADDED}
    if len(vocab) + len(added) + parts.types.count(UNUSED) != len(parts.tokens):
        raise InputError(f"{where}: two of its tokens are the same, or of an unknown type", "fetch the file again")
    made = tokenizers.Tokenizer(_model(vocab | {token: index for index, token in added.items()}, parts, name, where))
    made.pre_tokenizer = pre_tokenizers.Sequence(  # pyright: ignore[reportAttributeAccessIssue]
        [
            pre_tokenizers.Split(Regex(REGEXES[name]), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    made.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    special = [token for token, kind in zip(parts.tokens, parts.types, strict=True) if kind == CONTROL]
    made.add_special_tokens([AddedToken(one, special=True, normalized=False) for one in special])
    made.add_tokens([AddedToken(one, special=False, normalized=False) for one in added.values()])
    return made.to_str().encode()


def _model(vocab: dict[str, int], parts: GgufTokens, name: str, where: str) -> models.BPE:
    merges = []
    for number, merge in enumerate(parts.merges, 1):
        pair = merge.split(" ")
        if len(pair) != 2:
            raise InputError(f"{where}: merge {number} is {merge!r}, not a pair", "fetch the file again")
        if missing := [token for token in (*pair, "".join(pair)) if token not in vocab]:
            raise InputError(
                f"{where} merges {merge!r}, but has no token {missing[0]!r}", "take a file whose parts belong together"
            )
        merges.append((pair[0], pair[1]))
    return models.BPE(vocab=vocab, merges=merges, ignore_merges=name in WHOLE_PIECES)


def _described(pre_tokenizer: dict | None) -> str:
    """A regular expression where there is one, else the names of the steps."""
    steps: Sequence[dict] = (pre_tokenizer or {}).get("pretokenizers") or [pre_tokenizer or {}]
    regexes = [step["pattern"].get("Regex") for step in steps if "pattern" in step]
    return f"tokenizer.pattern {regexes[0]}" if regexes and regexes[0] else f"{[step.get('type') for step in steps]}"
