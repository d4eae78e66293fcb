"""Rows of chat data that are left out: each with file, place and reason, counted, an error when they are many."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ..core.errors import InputError

NAMED = 3  # rejects that the error names


@dataclass(frozen=True)
class Reject:
    """`row` is the line of a file of lines, else the row; both from 1."""

    file: str
    row: int
    reason: str
    detail: str

    def __str__(self) -> str:
        return f"{self.file}:{self.row} {self.reason}: {self.detail}"


@dataclass
class Tally:
    """What was read so far. `max_rejects` of the rows may be left out."""

    max_rejects: int = 100
    conversations: int = 0
    rejects: Counter[str] = field(default_factory=Counter)  # by reason
    first: list[Reject] = field(default_factory=list)

    def reject(self, one: Reject) -> None:
        """Count a row that is left out. Raises InputError naming reasons and the first rows when there are too many."""
        self.rejects[one.reason] += 1
        self.first += [one] if len(self.first) < NAMED else []
        if self.rejects.total() > self.max_rejects:
            reasons = ", ".join(f"{number} {reason}" for reason, number in self.rejects.most_common())
            raise InputError(
                f"more than {self.max_rejects} rows are no conversations ({reasons}; {self.conversations} are). "
                "The first:\n  " + "\n  ".join(map(str, self.first)),
                "correct or remove these rows, or allow more",
            )

    def counts(self) -> dict[str, int]:
        return {"conversations": self.conversations, **{f"rejected.{k}": v for k, v in sorted(self.rejects.items())}}
