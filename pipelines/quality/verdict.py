"""What the filters say of a text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Objection(NamedTuple):
    """Why a filter drops a document: the ledger's reason and value."""

    reason: str
    value: float | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The text to keep (C4 removes lines), or the first objection; how many lines were removed; the measures."""

    text: str
    objection: Objection | None = None
    lines_removed: int = 0
    scores: tuple[float, ...] | None = None  # in the order of QualityFilters.columns, if they are stored
