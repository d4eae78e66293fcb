"""Rows of chat data that are left out: each with file, place and reason, counted, an error when they are many."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..core.errors import InputError
from ..core.files import write_text

NAMED = 3  # rejects that the error names
LEDGER = "rejects.jsonl"  # in the stage's folder: {file, row, reason, detail}


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
    rows: list[Reject] = field(default_factory=list)  # those that were left out, for the ledger

    @property
    def first(self) -> list[Reject]:
        return self.rows[:NAMED]

    def reject(self, one: Reject) -> None:
        """Count a row that is left out. Raises InputError naming reasons and the first rows when there are too many."""
        self.rejects[one.reason] += 1
        self.rows.append(one)
        if self.rejects.total() > self.max_rejects:
            reasons = ", ".join(f"{number} {reason}" for reason, number in self.rejects.most_common())
            raise InputError(
                f"more than {self.max_rejects} rows are no conversations ({reasons}; {self.conversations} before are). "
                "The first:\n  " + "\n  ".join(map(str, self.first)),
                "correct or remove these rows, or allow more with finetune.data.max_rejects",
            )

    def counts(self) -> dict[str, int]:
        return {"conversations": self.conversations, **{f"rejected.{k}": v for k, v in sorted(self.rejects.items())}}


def write_ledger(folder: Path, rejects: Iterable[Reject]) -> Path:
    """Name every row that was left out, in the order of the files."""
    path = folder / LEDGER
    write_text(path, "".join(json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in rejects))
    return path
