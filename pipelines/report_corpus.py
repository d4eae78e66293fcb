"""What the report of a run says of its documents, found by what `data stats` and `data inspect` do, within limits.

A page is made to be shown: what the recipe masks in the texts that go on is masked in those that it shows, too, which
the filters met as they were.

Limits, as a page is written many times and must not take longer than what it tells of: of a large corpus some units
stand for all, and texts that extract dropped are searched at their origin for some seconds.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence

from ..core.log import log
from ..core.run import Run
from ..report.amounts import SPLITS, Amount, Amounts
from .extraction.fence import fence
from .pii import KINDS, mask
from .samples import reread
from .stats import collect

MOST_BYTES = 64 << 20  # of documents on disk
UNIT_SECONDS, ALL_SECONDS = 2.0, 10.0  # that origins are read

Texts = Mapping[str, Mapping[str, str]]


class RunCorpus:
    """report.facts.Corpus: of one run, for all pages that this process writes."""

    def __init__(self) -> None:
        self._texts: dict[tuple[str, str, frozenset[str]], Texts] = {}
        self._left = ALL_SECONDS

    def amounts(self, run: Run) -> Amounts:
        stats = collect(run, MOST_BYTES)
        left = {
            key: {step: _amount(count, step) for step, count in steps.items() if count}
            for key, steps in stats.left.items()
        }
        return Amounts(stats.steps, left, stats.mixture, stats.share)

    def origin_texts(self, run: Run, unit: str, wanted: set[str]) -> Texts:
        key = (run.need("extract").digest, unit, frozenset(wanted))
        if key not in self._texts:
            self._texts[key] = self._read(run, unit, wanted)
        return self._texts[key]

    def masked(self, run: Run, texts: Sequence[str], kinds: Collection[str] = tuple(KINDS)) -> list[str]:
        if run.recipe.pii is None:
            return list(texts)
        settings = run.recipe.pii.model_copy(update={kind: None for kind in KINDS if kind not in kinds})
        return [one.text for one in mask(texts, settings)]

    def _read(self, run: Run, unit: str, wanted: set[str]) -> Texts:
        if self._left <= 0:
            return {}
        began, settings = time.monotonic(), run.recipe.extract
        try:
            found = reread(run, unit, wanted, min(UNIT_SECONDS, self._left))
            fence(settings.engine, settings.page_seconds, settings.page_mb).close()  # begins anew when it is needed
            titles, texts = (self.masked(run, [one[name] for one in found.values()]) for name in ("title", "text"))
            return {one: {"title": title, "text": text} for one, title, text in zip(found, titles, texts, strict=True)}
        except Exception as failure:  # an origin that is gone, or no longer what it was
            log.debug("no texts of %s at their origin: %s", unit, failure, exc_info=failure)
            return {}
        finally:
            self._left -= time.monotonic() - began


def _amount(count: Mapping[str, int], step: str) -> Amount:
    tokens = count.get("tokens", 0) if step in SPLITS else count.get("tokens_estimated", 0)
    return Amount(count.get("documents", 0), count.get("bytes", 0), tokens)
