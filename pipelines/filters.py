"""The quality filters as the recipe sets them: one verdict a text, with the reason and the measured value.

Reasons have their filter as prefix: gopher_rep_…, gopher_… (datatrove's own), c4_…, fineweb_…, rule_… (the recipe's).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..core.settings_filters import Filters
from .quality.native import Measured, Measures
from .quality.rules import Rule, custom_rules, first_broken, rules_of
from .quality.verdict import Objection, Verdict

__all__ = ["Objection", "QualityFilters", "Verdict"]


class QualityFilters:
    """The filters that the recipe has switched on, in the recipe's order."""

    def __init__(self, settings: Filters) -> None:
        self._reference = None
        if settings.engine == "datatrove":
            from .quality.reference import Reference

            self._reference = Reference(settings)
        self._rules = [*([] if self._reference else rules_of(settings)), *custom_rules(settings)]
        self._measures = Measures(settings) if self._rules or settings.scores else None
        self._storing = settings.scores
        self.columns: list[str] = settings.measures() if settings.scores else []

    def judge(self, texts: Sequence[str], languages: Sequence[str]) -> list[Verdict]:
        """Run documents through the filters: one verdict each, the same in any batch."""
        if not texts:
            return []
        measured = self._measures.of(texts, languages) if self._measures else None
        if self._reference is not None:
            verdicts = self._reference.judge(texts, languages)
        else:
            left = (
                zip(measured.texts, measured.lines_removed, strict=True) if measured else ((text, 0) for text in texts)
            )
            verdicts = [Verdict(text, None, removed) for text, removed in left]
        return self._completed(verdicts, texts, measured) if measured else verdicts

    def _completed(self, verdicts: list[Verdict], texts: Sequence[str], measured: Measured) -> list[Verdict]:
        """With the objections of our own rules to the texts that are left, and with the scores."""
        first = first_broken(self._rules, measured.values, len(texts))
        table = np.column_stack([measured.values[name] for name in self.columns]) if self._storing else None
        scores = [tuple(row) for row in table.tolist()] if table is not None else [None] * len(texts)
        found = []
        for place, (verdict, row) in enumerate(zip(verdicts, scores, strict=True)):
            if verdict.objection is None and first[place] >= 0:
                rule = self._rules[first[place]]
                verdict = Verdict(texts[place], Objection(rule.reason, _value(rule, measured, place)))
            found.append(replace(verdict, scores=row) if row is not None else verdict)
        return found


def _value(rule: Rule, measured: Measured, place: int) -> float | None:
    return float(measured.values[rule.measure][place]) if rule.counted else None
