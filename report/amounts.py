"""How much text each step left, by source and language: what `crawl2chat data stats` counts, as the page takes it.

The counting stands in pipelines, which hands the numbers in: this folder stands before it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

SPLITS = ("train", "validation")


@dataclass(frozen=True)
class Amount:
    """Of one source and language behind one step. `tokens` are estimated before the shards."""

    documents: int = 0
    bytes: int = 0
    tokens: int = 0


@dataclass(frozen=True)
class Amounts:
    """`share` is the part of the run's documents that was read: below 1, sizes are scaled up from it."""

    steps: list[str]
    left: Mapping[tuple[str, str], Mapping[str, Amount]]  # (source, language): step: amount
    mixture: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # source: tokens, epochs, share
    share: float = 1.0

    def at(self, step: str) -> Amount:
        """All sources and languages together."""
        return self._sums(step, lambda source, lang: "").get("", Amount())

    def by_source(self, step: str) -> dict[str, Amount]:
        return self._sums(step, lambda source, lang: source)

    def by_language(self, step: str) -> dict[str, Amount]:
        return self._sums(step, lambda source, lang: lang)

    def _sums(self, step: str, key: Callable[[str, str], str]) -> dict[str, Amount]:
        sums: dict[str, Counter[str]] = {}
        for (source, lang), steps in self.left.items():
            if step in steps:
                one = steps[step]
                total = sums.setdefault(key(source, lang), Counter())
                total.update(documents=one.documents, bytes=one.bytes, tokens=one.tokens)
        return {
            name: Amount(*(round(total[what] / self.share) for what in ("documents", "bytes", "tokens")))
            for name, total in sums.items()
        }
