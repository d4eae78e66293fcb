"""How well a vocabulary fits its languages.

fertility    bytes of text that a token stands for, end-of-text tokens not counted: more is better
unknown      share of the characters that no token holds whole: they are spelled in tokens that are parts of them,
             so that nothing is lost, but the model sees them as bytes
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .bpe import Tokenizer
from .encoders import as_bytes

COUNTED = ("documents", "bytes", "characters", "tokens", "unknown_characters")


def count(tokenizer: Tokenizer, languages: Sequence[str], texts: Sequence[str]) -> dict[str, int]:
    """Counts of texts by language, as `LANGUAGE.documents`, `LANGUAGE.bytes` and so on for all of COUNTED."""
    totals: dict[str, int] = {}
    for language in sorted(set(languages)):
        chosen = [text for text, its in zip(texts, languages, strict=True) if its == language]
        for what, number in zip(COUNTED, _counts(tokenizer, chosen), strict=True):
            totals[f"{language}.{what}"] = number
    return totals


def _counts(tokenizer: Tokenizer, texts: Sequence[str]) -> tuple[int, ...]:
    data, offsets = as_bytes(texts)
    tokens, _ = tokenizer.encoder.encode(data, offsets)
    sizes = tokenizer.token_bytes()[tokens]
    begins = np.cumsum(sizes[sizes > 0]) - sizes[sizes > 0]  # of tokens but end-of-text, whose size is 0
    continues = (data & 0xC0) == 0x80  # a byte within a character
    character = np.cumsum(~continues)  # which one each byte belongs to, from 1
    cut = np.unique(character[begins[continues[begins]]])
    return len(texts), len(data), int((~continues).sum()), len(begins), len(cut)


def rates(counters: Mapping[str, int]) -> list[dict[str, float | int | str]]:
    """A row a language, the one with most bytes first: language, documents, bytes, fertility, unknown."""
    languages = {key.rpartition(".")[0] for key in counters}
    found = [(name, {what: counters[f"{name}.{what}"] for what in COUNTED}) for name in languages]
    return [
        {
            **{"language": name, "documents": its["documents"], "bytes": its["bytes"]},
            "fertility": round(its["bytes"] / max(1, its["tokens"]), 4),
            "unknown": round(its["unknown_characters"] / max(1, its["characters"]), 6),
        }
        for name, its in sorted(found, key=lambda pair: (-pair[1]["bytes"], pair[0]))
    ]
