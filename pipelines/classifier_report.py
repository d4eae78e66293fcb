"""How well scores tell good texts from others: ROC AUC, precision and recall at kept fractions. Plain functions."""

from __future__ import annotations

from typing import Any

import numpy as np


def roc_auc(scores: np.ndarray, good: np.ndarray) -> float:
    """The chance that a good text has a higher score than another; ties count half (Mann and Whitney 1947)."""
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    positives = int(good.sum())
    negatives = len(good) - positives
    assert positives and negatives, "both classes are needed"
    return float((ranks[good].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def bootstrap_auc(scores: np.ndarray, good: np.ndarray, rounds: int = 1000, seed: int = 1) -> tuple[float, float]:
    """The 95 % interval of the AUC by drawing texts with replacement (Efron 1979)."""
    random = np.random.default_rng(seed)
    values = []
    while len(values) < rounds:
        drawn = random.integers(0, len(scores), len(scores))
        if 0 < good[drawn].sum() < len(drawn):
            values.append(roc_auc(scores[drawn], good[drawn]))
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def kept_rows(scores: np.ndarray, good: np.ndarray, fractions: list[float]) -> list[dict[str, float]]:
    """For each fraction of the raw (not good) texts to keep: the threshold, and what it does to texts of both classes.

    A score at or above the threshold is kept. precision: share of good texts among the kept ones, both classes being
    equally many; recall: share of the good texts that are kept; kept: the share of raw texts that really is.
    """
    rows = []
    raw = np.sort(scores[~good])[::-1]
    for fraction in sorted(fractions):
        threshold = float(raw[max(1, round(fraction * len(raw))) - 1])
        recall = float((scores[good] >= threshold).mean())
        kept = float((raw >= threshold).mean())
        precision = recall / (recall + kept)
        rows.append(
            {"keep_fraction": fraction, "threshold": threshold, "precision": precision, "recall": recall, "kept": kept}
        )
    return rows


def report_lines(report: dict[str, Any]) -> list[str]:
    """The report for people."""
    held_out = report["held_out"]
    lines = [
        f"trained on {report['trained']['good']:,} good and {report['trained']['raw']:,} raw pieces of text",
        f"held out: {held_out['good']:,} and {held_out['raw']:,} pieces of other documents, AUC {held_out['auc']:.3f}",
        "",
        f"{'keep_fraction':>13} {'threshold':>10} {'precision':>10} {'recall':>8}",
    ]
    for row in held_out["fractions"]:
        lines.append(
            f"{row['keep_fraction']:>13.2f} {row['threshold']:>10.4f} {row['precision']:>10.3f} {row['recall']:>8.3f}"
        )
    return lines
