"""About how many tokens the documents before the shards hold, by the tokens to a byte that the shards have.

Before there are shards, by BYTES_PER_TOKEN, which is usual for English and a vocabulary of some ten thousand entries;
other languages and smaller vocabularies take more tokens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

BYTES_PER_TOKEN = 4
Steps = Mapping[str, Counter[str]]  # step: documents, bytes or tokens


def estimate_tokens(left: Collection[Steps], steps: list[str], splits: Iterable[str]) -> None:
    """Fill in tokens_estimated at each of the steps. left: of each source and language; the last step made the shards.

    splits: of the shards, none without them. A language without tokens in the shards has the ratio of all.
    """
    tokens = [sum(one[split]["tokens"] for split in splits) for one in left]
    sizes = [one[steps[-1]]["bytes"] for one in left]
    usual = sum(tokens) / sum(sizes) if sum(tokens) and sum(sizes) else 1 / BYTES_PER_TOKEN
    for one, mine, size in zip(left, tokens, sizes, strict=True):
        ratio = mine / size if mine and size else usual
        for step in steps:
            if one[step]:
                one[step]["tokens_estimated"] = round(one[step]["bytes"] * ratio)
