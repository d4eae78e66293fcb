"""The quality filters as the recipe sets them: one verdict a text, with the reason and the measured value.

Reasons have their filter as prefix: gopher_rep_…, gopher_… (datatrove's own), c4_…, fineweb_…, rule_… (the recipe's).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..core.settings_filters import Filters
from .quality.lexicon import Lexicon
from .quality.native import Group, Measures
from .quality.rules import custom_rules, rules_of
from .quality.verdict import Objection, Verdict

__all__ = ["Objection", "QualityFilters", "Verdict"]


class QualityFilters:
    """The filters that the recipe has switched on, in the recipe's order."""

    def __init__(self, settings: Filters, words: Lexicon | None = None) -> None:
        """words: the lexicon to use, the process's if left out."""
        self._reference = None
        rules = custom_rules(settings)
        if settings.engine == "datatrove":
            from .quality.reference import Reference

            self._reference = Reference(settings)
        else:
            rules = [*rules_of(settings), *rules]
        self._measures = Measures(settings, rules, words) if rules or settings.scores else None
        self.columns = settings.measures() if settings.scores else []

    def judge(self, texts: Sequence[str], languages: Sequence[str]) -> list[Verdict]:
        """Run documents through the filters: one verdict each, the same in any batch."""
        groups = self._measures.of(texts, languages) if self._measures else []
        verdicts = [verdict for group in groups for verdict in self._of(group)] or [Verdict(text) for text in texts]
        if self._reference is None:
            return verdicts
        judged = self._reference.judge(texts, languages)
        return [
            replace(ours if theirs.objection is None and ours.objection is not None else theirs, scores=ours.scores)
            for theirs, ours in zip(judged, verdicts, strict=True)
        ]

    def _of(self, group: Group) -> Iterator[Verdict]:
        """What our own rules say of texts, with the scores if they are stored."""
        scores = list(zip(*(group.values[name].tolist() for name in self.columns), strict=True)) or [None] * len(
            group.texts
        )
        for place, (text, rule) in enumerate(zip(group.texts, group.broken, strict=True)):
            if rule is None:
                yield Verdict(group.left[place], None, group.removed[place], scores[place])
            else:
                value = float(group.values[rule.measure][place]) if rule.counted else None
                yield Verdict(text, Objection(rule.reason, value), 0, scores[place])
