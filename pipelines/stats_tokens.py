"""About how many tokens the documents before the shards hold, by the tokens to a byte that the shards have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

Steps = Mapping[str, Counter[str]]  # step: documents, bytes or tokens


def estimate_tokens(left: Collection[Steps], steps: list[str], splits: Iterable[str]) -> None:
    """Fill in tokens_estimated at each of the steps. left: of each source and language; the last step made the shards.

    One without tokens in the shards has the ratio of all.
    """
    tokens = [sum(one[split]["tokens"] for split in splits) for one in left]
    sizes = [one[steps[-1]]["bytes"] for one in left]
    if not sum(sizes):
        return
    for one, mine, size in zip(left, tokens, sizes, strict=True):
        ratio = mine / size if mine and size else sum(tokens) / sum(sizes)
        for step in steps:
            one[step]["tokens_estimated"] = round(one[step]["bytes"] * ratio)
