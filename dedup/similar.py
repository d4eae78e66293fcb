"""Compiled loops of verification: similarities of two sketches, and who leaves, in the order of priority.

A document leaves when one before it that stays shares a key with it and is similar to it. Of those it leaves for the
sake of the first. So whoever leaves is similar to the one that stays, a chain a~b~c does not join a and c, and what
becomes of a document depends on none behind it.
"""

from __future__ import annotations

import numpy as np

from ..core.compiled import compiled

KEPT_SAMPLE = 4096  # compared pairs that a call hands back at most


@compiled
def jaccard_of_sorted(one: np.ndarray, other: np.ndarray) -> float:
    """Jaccard similarity of two sets, as sorted distinct numbers."""
    at, place, common = 0, 0, 0
    while at < len(one) and place < len(other):
        left, right = one[at], other[place]
        common += left == right
        at += left <= right
        place += right <= left
    whole = len(one) + len(other) - common
    return common / whole if whole else 0.0


@compiled
def agreement(one: np.ndarray, other: np.ndarray) -> float:
    """Share of places in which two signatures agree."""
    same = 0
    for place in range(len(one)):
        same += one[place] == other[place]
    return same / len(one) if len(one) else 0.0


@compiled
def decide_all(
    key_starts: np.ndarray,
    document_starts: np.ndarray,
    document_keys: np.ndarray,
    values: np.ndarray,
    starts: np.ndarray,
    stays: np.ndarray,
    hashes: np.ndarray,
    threshold: float,
    by_signature: bool,
) -> tuple[np.ndarray, np.ndarray, int, np.ndarray, np.ndarray]:
    """Each document's survivor (a number; its own where it stays), the similarity to it, and some compared pairs.

    Documents are numbered by priority. key_starts: where each key's share of a list of documents begins;
    document_starts and document_keys: each document's keys; values and starts: sketches; stays: who stays in any case;
    hashes: a random number of each document, which draws the sample of pairs. Returns survivors, similarities, the
    number of compared pairs, and of the sample the pairs and their similarities.
    """
    count = len(stays)
    survivor = np.arange(count)
    similarity = np.full(count, np.nan)
    filled = np.zeros(len(key_starts) - 1, dtype=np.int64)
    kept = np.empty(key_starts[-1], dtype=np.int64)  # of each key, those who stay, in the order of priority
    seen = np.full(count, -1, dtype=np.int64)
    compared, sampled, mask = 0, 0, np.uint64(0)
    pairs = np.empty((KEPT_SAMPLE, 2), dtype=np.int64)
    measured = np.empty(KEPT_SAMPLE, dtype=np.float64)
    candidates = np.empty(count, dtype=np.int64)
    for doc in range(count):
        found = 0
        mine = values[starts[doc] : starts[doc + 1]]
        for at in range(document_starts[doc], document_starts[doc + 1]):
            key = document_keys[at]
            for place in range(key_starts[key], key_starts[key] + filled[key]):
                other = kept[place]
                if seen[other] != doc:
                    seen[other] = doc
                    candidates[found] = other
                    found += 1
        if not stays[doc]:
            candidates[:found].sort()
            for other in candidates[:found]:
                theirs = values[starts[other] : starts[other + 1]]
                likeness = agreement(mine, theirs) if by_signature else jaccard_of_sorted(mine, theirs)
                compared += 1
                drawn = hashes[doc] ^ hashes[other]
                if drawn & mask == np.uint64(0):
                    pairs[sampled, 0], pairs[sampled, 1], measured[sampled] = other, doc, likeness
                    sampled += 1
                    while sampled == KEPT_SAMPLE:  # of every two of the sample one goes
                        mask = (mask << np.uint64(1)) | np.uint64(1)
                        sampled = 0
                        for row in range(KEPT_SAMPLE):
                            if (hashes[pairs[row, 0]] ^ hashes[pairs[row, 1]]) & mask == np.uint64(0):
                                pairs[sampled], measured[sampled] = pairs[row], measured[row]
                                sampled += 1
                if likeness >= threshold:
                    survivor[doc], similarity[doc] = other, likeness
                    break
        if survivor[doc] == doc:
            for at in range(document_starts[doc], document_starts[doc + 1]):
                key = document_keys[at]
                kept[key_starts[key] + filled[key]] = doc
                filled[key] += 1
    return survivor, similarity, compared, pairs[:sampled], measured[:sampled]
