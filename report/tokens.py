"""The tokenizer of a run: its vocabulary, how well it fits each language, and a text as the model reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import Crawl2ChatError
from ..core.manifest import Manifest
from ..tokenize.bpe import Tokenizer
from ..tokenize.shards import read_shard
from .reading import read_json

SHOWN = 120  # tokens of the sample
LONGEST = 24
_MOST_BYTES = 16  # of the histogram's bars; the last is open


@dataclass(frozen=True)
class Tokens:
    """`lengths`: tokens of 1, 2, … bytes. `sample`: the pieces of a held-out text; `longest`: its words."""

    vocab_size: int
    bytes_per_token: float | None
    fertility: Sequence[Mapping[str, Any]]  # a row a language, as tokenize/fertility.py has them
    lengths: Sequence[tuple[str, int]]
    longest: Sequence[str]
    tokens: Mapping[str, int] = field(default_factory=dict)  # by split
    sample: Sequence[str] = ()


def read_tokens(folder: Path, manifest: Manifest, shards: Path, shards_manifest: Manifest | None) -> Tokens | None:
    """None when the tokenizer cannot be read."""
    try:
        tokenizer = Tokenizer.load(folder / "tokenizer.json")
    except Crawl2ChatError:
        return None
    sizes = tokenizer.token_bytes()
    sizes = sizes[sizes > 0]
    lengths = [(str(n), int((sizes == n).sum())) for n in range(1, _MOST_BYTES)]
    lengths.append((f"{_MOST_BYTES}+", int((sizes >= _MOST_BYTES).sum())))
    while lengths and not lengths[-1][1]:
        lengths.pop()
    count = shards_manifest.counters if shards_manifest else {}
    return Tokens(
        vocab_size=int(manifest.facts.get("vocab_size", tokenizer.vocab_size)),
        bytes_per_token=count.get("fertility"),
        fertility=[one for one in read_json(folder / "fertility.json", list) if "fertility" in one],
        lengths=lengths,
        longest=_longest(tokenizer),
        tokens={name: int(count[f"tokens_{name}"]) for name in ("train", "validation") if f"tokens_{name}" in count},
        sample=_sample(tokenizer, shards, shards_manifest) if shards_manifest else (),
    )


def _longest(tokenizer: Tokenizer) -> list[str]:
    """Words of the vocabulary with the most letters."""
    words = {tokenizer.decode([one]) for one in np.argsort(-tokenizer.token_bytes(), kind="stable")[: 8 * LONGEST]}
    return sorted((word for word in words if word.strip().isalpha()), key=lambda word: (-len(word), word))[:LONGEST]


def _sample(tokenizer: Tokenizer, folder: Path, manifest: Manifest) -> list[str]:
    """The first tokens of a held-out document, one piece a token; a part of a character is shown as its bytes."""
    for path in [*manifest.paths(folder, "validation/"), *manifest.paths(folder, "train/")]:
        try:
            shard = read_shard(path)
        except Crawl2ChatError:
            continue
        if shard.metadata.get("tokenizer_digest") != tokenizer.digest:
            return []
        long = np.flatnonzero(np.diff(shard.offsets) > SHOWN // 2)
        if len(long):
            begin, end = shard.offsets[long[0]], shard.offsets[long[0] + 1] - 1
            return [_piece(tokenizer, int(one)) for one in shard.tokens[begin : min(end, begin + SHOWN)]]
    return []


def _piece(tokenizer: Tokenizer, token: int) -> str:
    raw = tokenizer.decode_bytes([token])
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return "".join(f"‹{byte:02x}›" for byte in raw)
