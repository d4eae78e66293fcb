"""Repeated runs of words, by the definitions of datatrove's Gopher repetition filter (Rae et al. 2021, table A1).

`top_characters`: characters of the most frequent n-gram (words joined by blanks) times its frequency; of equally
frequent ones the first counts. `repeated_characters`: characters in n-grams that stood before in the text, where a
repeated n-gram is skipped as a whole; there the words are joined by nothing, so that "a bc" repeats "ab c".

All texts of a batch are worked on together. An n-gram is one 64-bit number, made from that of the (n-1)-gram at the
same place, and salted with its text. Few n-grams stand twice: a table of last positions finds those that may, in two
passes without sorting, and only these are sorted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ...dedup.hashing import mix
from .columns import owners, totals
from .lexicon import BASE, Lexicon, Words

SALT = np.uint64(0xD1342543DE82EF95)  # odd


class Runs(NamedTuple):
    """Positions whose n-gram stands at least twice in its text, sorted by n-gram, then by position."""

    at: np.ndarray  # position of the n-gram's first word in the batch
    run: np.ndarray  # number of the n-gram
    first: np.ndarray  # for each n-gram, its place in `at`


def top_characters(words: Words, lexicon: Lexicon, sizes: Sequence[int]) -> dict[int, np.ndarray]:
    """For each n: int64 [texts], 0 for a text of fewer than n words."""
    owner, texts = owners(words.counts), len(words.counts)
    reach = _reach(words, lexicon)
    begins = np.cumsum(words.counts) - words.counts
    keys = np.zeros(len(words.ids), dtype=np.uint64)
    own = words.ids.astype(np.uint64) + np.uint64(1)
    found: dict[int, np.ndarray] = {}
    for n in range(1, max(sizes, default=0) + 1):
        keys = keys[: len(own) - n + 1] * np.uint64(BASE) + own[n - 1 :]
        if n not in sizes:
            continue
        value = np.zeros(texts, dtype=np.int64)
        long_enough = np.flatnonzero(words.counts >= n)
        at = begins[long_enough]
        value[long_enough] = reach[at + n] - reach[at] + n - 1  # nothing repeats: the first n-gram, once
        runs = _repeated(keys, owner, n)
        if len(runs.first):
            times = np.diff(np.append(runs.first, len(runs.at)))
            at = runs.at[runs.first]
            best = np.lexsort((at, -times, owner[at]))
            best = best[np.unique(owner[at[best]], return_index=True)[1]]
            value[owner[at[best]]] = (reach[at[best] + n] - reach[at[best]] + n - 1) * times[best]
        found[n] = value
    return found


def repeated_characters(words: Words, lexicon: Lexicon, sizes: Sequence[int]) -> dict[int, np.ndarray]:
    """For each n: float64 [texts]."""
    owner = owners(words.counts)
    reach = _reach(words, lexicon)
    hashes, steps = lexicon.hashes[words.ids], lexicon.powers[words.ids]
    keys = np.zeros(len(words.ids), dtype=np.uint64)
    found: dict[int, np.ndarray] = {}
    for n in range(1, max(sizes, default=0) + 1):
        keys = keys[: len(hashes) - n + 1] * steps[n - 1 :] + hashes[n - 1 :]
        if n in sizes:
            hits = _hits(_repeated(keys, owner, n), n)
            found[n] = totals(owner[hits], reach[hits + n] - reach[hits], len(words.counts))
    return found


def _reach(words: Words, lexicon: Lexicon) -> np.ndarray:
    """Characters before each word of the batch, and after the last: int64 [words + 1]."""
    return np.concatenate([[0], np.cumsum(lexicon.lengths[words.ids])])


def _repeated(keys: np.ndarray, owner: np.ndarray, n: int) -> Runs:
    """The n-grams that stand twice in a text. keys: the n-gram at each position; owner: the text of each word."""
    inside = np.flatnonzero(owner[: len(keys)] == owner[n - 1 :])
    keys = mix(keys[inside] + owner[inside].astype(np.uint64) * SALT)
    bits = max(10, len(keys).bit_length() + 2)
    slot = (keys >> np.uint64(64 - bits)).astype(np.int64)
    last = np.empty(1 << bits, dtype=np.int32)  # not filled: only places that are written next are read
    here = np.arange(len(slot), dtype=np.int32)
    last[slot] = here
    behind = last[slot]
    earlier = behind != here
    again = np.zeros(len(slot), dtype=np.bool_)
    again[behind[earlier]] = True
    maybe = np.flatnonzero(earlier | again)
    keys = keys[maybe]
    order = np.argsort(keys, kind="stable")
    keys, at = keys[order], inside[maybe[order]]
    fresh = np.concatenate([[True], keys[1:] != keys[:-1]])[: len(keys)]
    run = np.cumsum(fresh) - 1
    times = np.bincount(run, minlength=1)
    twice = times[run] > 1
    at, run = at[twice], run[twice]
    first = np.flatnonzero(np.concatenate([[True], run[1:] != run[:-1]])[: len(run)])
    return Runs(at, run, first)


def _hits(runs: Runs, n: int) -> np.ndarray:
    """Positions at which an n-gram counts as repeated, going through the text from left to right."""
    order = np.argsort(runs.at)
    seen: set[int] = set()
    hits: list[int] = []
    free = 0
    for at, run in zip(runs.at[order].tolist(), runs.run[order].tolist(), strict=True):
        if at < free:
            continue
        if run in seen:
            hits.append(at)
            free = at + n
        else:
            seen.add(run)
    return np.array(hits, dtype=np.int64)
