"""Conversations packed into rows of `context` tokens, each seeing itself alone.

Which conversations share a row: best-fit decreasing, the longest first, each into the fullest row that still takes it
(Johnson 1973: never more than 11/9 of the fewest rows, and some). The rows are found by a tree over the space that is
left in them (Ding et al. 2024, "Fewer Truncations Improve Language Modeling"), in O(n log context), as machine code.
Equal lengths go in their order in the file: the same conversations give the same rows.

A conversation of n tokens takes n - 1 places, as its last token is a target only; no target is of another one. What
stands behind its last learned token is left out: no learned token sees it. One that is longer than the context is

    drop        left out
    truncate    cut behind context + 1 tokens; left out when nothing of an answer is left
    split       cut into pieces of context places, each beginning with the last token of the one before: every learned
                token is learned once. Later pieces do not see their question. Pieces without answers are left out
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from ..core.compiled import compiled


class TooLong(Enum):
    """What becomes of conversations longer than the context; the value names their count."""

    DROP = "dropped"
    TRUNCATE = "truncated"
    SPLIT = "split"


@dataclass(frozen=True)
class Packing:
    """Pieces in the order of their rows: row r holds the pieces rows[r] … rows[r + 1] - 1, in the file's order.

    Piece p is the tokens starts[p] … stops[p] - 1 of all conversations' tokens one after the other, all int64.
    """

    conversation: np.ndarray  # [pieces] its number
    starts: np.ndarray  # [pieces]
    stops: np.ndarray  # [pieces]
    rows: np.ndarray  # [rows + 1]
    context: int
    counts: dict[str, int]  # conversations, rows, pieces, too_long, dropped, truncated, split, nothing_to_learn

    @property
    def efficiency(self) -> float:
        """Share of the rows' places that hold a token of a conversation; 1.0 without rows."""
        places = (len(self.rows) - 1) * self.context
        return float((self.stops - self.starts - 1).sum() / places) if places else 1.0

    @property
    def fewest_rows(self) -> int:
        """No packing of these pieces has fewer rows."""
        return -(-int((self.stops - self.starts - 1).sum()) // self.context)


def pack(offsets: np.ndarray, answer: np.ndarray, context: int, too_long: TooLong, apart: bool = False) -> Packing:
    """Pack conversations: int64 [n + 1] places where they begin in `answer`, bool [tokens], True where learned.

    `apart` gives each piece a row of its own.

    counts: dropped, truncated and split are conversations that were too long; nothing_to_learn are those, of any
    length, of which nothing is left that is learned.
    """
    assert context > 0 and offsets[-1] <= len(answer), "offsets beyond the tokens"
    starts, stops = offsets[:-1].astype(np.int64), offsets[1:].astype(np.int64)
    number = np.arange(len(starts))
    last = _last_learned(answer)
    stops = _trimmed(starts, stops, last)
    long = stops - starts - 1 > context
    counts = {"conversations": len(starts), "too_long": int(long.sum()), "dropped": 0, "truncated": 0, "split": 0}
    counts[too_long.value] = counts["too_long"]
    if too_long is TooLong.SPLIT:
        parts = np.maximum(1, -(-(stops - starts - 1) // context))
        number = np.repeat(number, parts)
        part = np.arange(len(number)) - np.repeat(np.cumsum(parts) - parts, parts)
        ends = stops[number]
        starts = starts[number] + part * context
        stops = _trimmed(starts, np.minimum(starts + context + 1, ends), last)
    else:
        stops = _trimmed(starts, np.minimum(stops, starts + context + 1), last)
    whole = ~long[number] if too_long is TooLong.DROP else np.ones(len(number), dtype=bool)
    kept = whole & (stops > starts + 1)
    touched = np.zeros(len(long), dtype=bool)
    touched[number[kept | ~whole]] = True
    counts["nothing_to_learn"] = int((~touched).sum())
    number, starts, stops = number[kept], starts[kept], stops[kept]
    row, rows = (np.arange(len(number)), len(number)) if apart else assign(stops - starts - 1, context)
    order = np.argsort(row, kind="stable")
    begins = np.searchsorted(row[order], np.arange(rows + 1))
    counts |= {"pieces": len(number), "rows": rows}
    return Packing(number[order], starts[order], stops[order], begins, context, counts)


def assign(lengths: np.ndarray, context: int) -> tuple[np.ndarray, int]:
    """The row of each length (1 … context), int64, and the number of rows: best-fit decreasing."""
    lengths = np.asarray(lengths, dtype=np.int64)
    if not len(lengths):
        return np.empty(0, dtype=np.int64), 0
    assert lengths.min() > 0 and lengths.max() <= context, "a length that no row takes"
    row = np.empty(len(lengths), dtype=np.int64)
    leaves = 1 << int(context).bit_length()
    return row, int(_best_fit(lengths, np.argsort(-lengths, kind="stable"), context, leaves, row))


def _last_learned(answer: np.ndarray) -> np.ndarray:
    """int64 [tokens + 1]: the last place before each that is learned, -1 where there is none."""
    last = np.full(len(answer) + 1, -1, dtype=np.int64)
    last[1:] = np.maximum.accumulate(np.where(answer, np.arange(len(answer)), -1))
    return last


def _trimmed(starts: np.ndarray, stops: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Stops behind the last learned token; start + 1, a piece without targets, where there is none behind the first."""
    return np.maximum(last[stops], starts) + 1


@compiled
def _best_fit(lengths: Any, order: Any, context: int, leaves: int, row: Any) -> int:
    """tree[leaves + s]: rows with s places left; a node: those below it. Rows of equal space are a linked stack."""
    tree = np.zeros(2 * leaves, dtype=np.int64)
    top = np.full(context + 1, -1, dtype=np.int64)
    below = np.empty(len(lengths), dtype=np.int64)
    rows = 0
    for item in order:
        length = lengths[item]
        node = leaves + length
        while node > 1 and tree[node] == 0:  # the next subtree to the right that holds a row
            while node > 1 and node & 1:
                node >>= 1
            node = node + 1 if node > 1 else 1
        if node > 1:
            while node < leaves:
                node <<= 1
                node += tree[node] == 0
            space = node - leaves
            found = top[space]
            top[space] = below[found]
            while node:
                tree[node] -= 1
                node >>= 1
        else:
            space, found = context, rows
            rows += 1
        row[item] = found
        space -= length
        below[found] = top[space]
        top[space] = found
        node = leaves + space
        while node:
            tree[node] += 1
            node >>= 1
    return rows
