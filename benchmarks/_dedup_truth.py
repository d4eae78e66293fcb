"""All pairs of some real pages by their exact similarity, and what the signatures find of them.

Similarities come from an inverted index over the runs of words themselves: no hash, no sampling.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from crawl2chat.core.banding import collision_probability
from crawl2chat.core.compiled import compiled
from crawl2chat.core.settings_data import Dedup
from crawl2chat.dedup.bands import band_keys
from crawl2chat.dedup.gates import plain_shingles
from crawl2chat.dedup.minhash import signatures
from crawl2chat.dedup.shingles import shingles

SEEDS = 20  # signatures of the curve
BIN_PAIRS = 20_000  # pairs that stand for a bin of the curve
LEAST_PAIRS = 5  # of a bin that is shown
LEAST = 0.25  # similarity of a pair that is looked at


def all_pairs(texts: list[str], settings: Dedup) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of documents with a similarity of LEAST and more, int32 [pairs, 2], and their similarities."""
    names: dict[tuple[str, ...], int] = {}
    sets = [
        np.array(sorted(names.setdefault(one, len(names)) for one in plain_shingles(text, settings)), dtype=np.int64)
        for text in texts
    ]
    sizes = np.array([len(one) for one in sets], dtype=np.int64)
    flat = np.concatenate(sets)
    owner = np.repeat(np.arange(len(texts), dtype=np.int32), sizes)
    holders = owner[np.argsort(flat, kind="stable")]
    starts = np.concatenate([[0], np.cumsum(np.bincount(flat, minlength=len(names)))])
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    return _similar_pairs(flat, offsets, holders, starts, sizes, LEAST)


@compiled
def _similar_pairs(
    flat: np.ndarray, offsets: np.ndarray, holders: np.ndarray, starts: np.ndarray, sizes: np.ndarray, least: float
) -> tuple[np.ndarray, np.ndarray]:
    """Each document against all before it, by counting how often these stand in the lists of its shingles."""
    pairs = np.empty((1024, 2), dtype=np.int32)
    measured = np.empty(1024, dtype=np.float64)
    found = 0
    common = np.zeros(len(sizes), dtype=np.int64)
    for doc in range(len(sizes)):
        for at in range(offsets[doc], offsets[doc + 1]):
            shingle = flat[at]
            for place in range(starts[shingle], starts[shingle + 1]):
                if holders[place] >= doc:
                    break
                common[holders[place]] += 1
        for other in range(doc):
            if common[other]:
                similarity = common[other] / (sizes[doc] + sizes[other] - common[other])
                common[other] = 0
                if similarity >= least:
                    if found == len(pairs):
                        pairs = np.concatenate((pairs, np.empty_like(pairs)))
                        measured = np.concatenate((measured, np.empty_like(measured)))
                    pairs[found, 0], pairs[found, 1], measured[found] = other, doc, similarity
                    found += 1
    return pairs[:found], measured[:found]


def met(texts: list[str], pairs: np.ndarray, settings: Dedup, seeds: range) -> np.ndarray:
    """bool [seeds, pairs]: which pairs share a band, for signatures of each seed."""
    bands, rows = settings.banding
    flat, offsets = shingles(texts, settings.ngram, settings.unit)
    out = np.empty((len(seeds), len(pairs)), dtype=bool)
    for at, seed in enumerate(seeds):
        keys = band_keys(signatures(flat, offsets, bands * rows, seed), bands, rows)
        for first in range(0, len(pairs), 1 << 18):
            some = pairs[first : first + (1 << 18)]
            out[at, first : first + len(some)] = (keys[some[:, 0]] == keys[some[:, 1]]).any(axis=1)
    return out


def curve(texts: list[str], pairs: np.ndarray, similarity: np.ndarray, settings: Dedup) -> list[dict[str, Any]]:
    """The S-curve as measured in bins of 0.05 beside the theory, over SEEDS seeds.

    The interval is that of three standard errors over the seeds, as pairs of one document are not independent; where
    hardly a pair is missed it is the binomial one.
    """
    dice = np.random.default_rng(5)
    number = np.minimum((similarity * 20).astype(np.int64), 19)
    bins = [np.flatnonzero(number == at) for at in range(int(LEAST * 20), 20)]
    chosen = [dice.choice(one, min(len(one), BIN_PAIRS), replace=False) for one in bins if len(one) >= LEAST_PAIRS]
    seeds = range(settings.seed + 1, settings.seed + 1 + SEEDS)
    found = met(texts, pairs[np.concatenate(chosen)], settings, seeds)
    ends = np.cumsum([len(one) for one in chosen])
    return [
        _point(similarity[one], found[:, end - len(one) : end], settings) | {"from": number[one[0]] / 20}
        for one, end in zip(chosen, ends, strict=True)
    ]


def _point(similarity: np.ndarray, found: np.ndarray, settings: Dedup) -> dict[str, Any]:
    shares = found.mean(axis=1)
    theory = float(np.mean([collision_probability(one, *settings.banding) for one in similarity]))
    alone = np.sqrt(theory * (1 - theory) / found.size)
    error = 3 * max(float(shares.std(ddof=1)) / np.sqrt(len(shares)), float(alone))
    measured = float(shares.mean())
    bounds = {"low": max(0.0, measured - error), "high": min(1.0, measured + error)}
    inside = bounds["low"] - 1e-9 <= theory <= bounds["high"] + 1e-9
    return {"pairs": len(similarity), "theory": theory, "measured": measured, "inside": bool(inside)} | bounds
