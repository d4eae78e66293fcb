"""Bands and rows of MinHash LSH: what they find, and which ones reach a target.

A pair of Jaccard similarity s agrees in all rows of at least one of b bands of r rows with probability 1-(1-s^r)^b
(Leskovec, Rajaraman and Ullman: Mining of Massive Datasets, 3.4): the S-curve.
"""

from __future__ import annotations

import math


def collision_probability(similarity: float, bands: int, rows: int) -> float:
    """Probability that a pair of this similarity shares a band."""
    return 1.0 - (1.0 - similarity**rows) ** bands


def solve(threshold: float, recall: float, max_hashes: int) -> tuple[int, int]:
    """Bands and rows that find a pair at the threshold with probability `recall`, in at most max_hashes hashes.

    Of all that do, the most rows (the steepest curve: fewest pairs below the threshold to verify), with the fewest
    bands that reach the recall. Raises ValueError naming the hashes that would do.
    """
    found = None
    for rows in range(1, max_hashes + 1):
        bands = _bands(threshold, recall, rows)
        if bands * rows <= max_hashes:
            found = bands, rows
    if found is None:
        raise ValueError(
            f"no bands and rows find pairs of similarity {threshold} with recall {recall} in max_hashes={max_hashes}; "
            f"max_hashes={_bands(threshold, recall, 1)} would"
        )
    return found


def _bands(threshold: float, recall: float, rows: int) -> int:
    """Fewest bands of so many rows that reach the recall at the threshold."""
    agree = threshold**rows
    if agree >= 1.0:
        return 1
    if agree < 1e-15:
        return 1 << 62
    bands = max(1, math.ceil(math.log1p(-recall) / math.log1p(-agree)))
    return bands if collision_probability(threshold, bands, rows) >= recall else bands + 1


def curve(bands: int, rows: int, step: float = 0.05) -> list[tuple[float, float]]:
    """Points (similarity, probability) of the S-curve, from 0 to 1."""
    return [
        (at, collision_probability(at, bands, rows)) for at in (round(n * step, 6) for n in range(round(1 / step) + 1))
    ]
