"""Sums over all units by ranges of hashes: a shuffle by files, whose parts one behind the other are sorted.

Each unit writes its hashes sorted, as an Arrow file; part i of n takes the i-th range of hashes out of each unit's
file, which it maps. So a part's memory is its own rows, whatever the corpus, and a killed attempt goes on part by part.
"""

from __future__ import annotations

import numpy as np

from ..core.units import Unit

_LEAST_PARTS, _MOST_PARTS = 8, 4096
PART_ROWS = 1 << 24  # rows of some 16 bytes in a part: 0.3 GB of columns, and some copies while they are sorted


def parts_for(rows: int, part_rows: int = PART_ROWS) -> int:
    """In how many parts the rows of all units are taken: a worker's memory does not grow with the corpus."""
    return min(max(_LEAST_PARTS, -(-rows // part_rows)), _MOST_PARTS)


def part_units(parts: int) -> list[Unit]:
    """The parts as units of work."""
    return [Unit(name=part_name(number), spec={"part": number}) for number in range(parts)]


def part_name(number: int) -> str:
    return f"part-{number:05d}"


def part_slice(hashes: np.ndarray, part: int, parts: int) -> slice:
    """Where the hashes of a part stand in a sorted column."""
    low, high = ((border << 64) // parts for border in (part, part + 1))
    first = int(np.searchsorted(hashes, np.uint64(low)))
    return slice(first, int(np.searchsorted(hashes, np.uint64(high))) if high < 1 << 64 else len(hashes))


def add_counts(hashes: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sorted distinct hashes, the sum of each one's counts, and where it stood first."""
    order = np.argsort(hashes, kind="stable")
    hashes, counts = hashes[order], counts[order]
    starts = np.flatnonzero(np.concatenate([[True], hashes[1:] != hashes[:-1]])) if len(hashes) else order
    sums = np.add.reduceat(counts, starts) if len(starts) else counts
    return hashes[starts], sums, order[starts]


def among(hashes: np.ndarray, those: np.ndarray) -> np.ndarray:
    """Which of the hashes stand in `those`, which is sorted; it may be memory-mapped."""
    if not len(those):
        return np.zeros(len(hashes), dtype=bool)
    place = np.minimum(np.searchsorted(those, hashes), len(those) - 1)
    return those[place] == hashes
