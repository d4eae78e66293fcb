"""How much of a file a sample takes, and where each record goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

RUN = 8  # records that stay together

Open = Callable[[], BinaryIO]


@dataclass(frozen=True)
class Cut:
    """`share` of the records of the first `read` bytes of the file, dealt out to `pieces` files."""

    share: float
    read: float
    pieces: int

    def piece(self, record: int) -> int | None:
        """Which file a record goes to; None where it is left out."""
        run = record // RUN
        before, taken = int(run * self.share), int((run + 1) * self.share)
        return before % self.pieces if taken > before else None
