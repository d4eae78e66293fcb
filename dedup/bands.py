"""Locality-sensitive hashing (Indyk and Motwani 1998): signatures to rows (key, document), of which equal keys meet.

A key is 62 bits of hash above 2 bits that say what agrees:

    MINHASH    all rows of one band of the signature; one key for each band
    EXACT      the whole normalised text: whose keys are equal meet, and then all 128 bits of the hash decide
    IDENTITY   the document's id: two rows of one document mean that a doc_id stands twice
    URL        the document's normalised URL
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from .hashing import mix, stream
from .minhash import VERSION
from .priority import order_of
from .tables import EDGE, matrix, numbers

MINHASH, EXACT, IDENTITY, URL = 0, 1, 2, 3
_KIND = np.uint64(3)
_PARTITION_SALT = np.uint64(0x94D049BB133111EB)


def band_keys(signature: np.ndarray, bands: int, rows: int) -> np.ndarray:
    """uint64 [texts, bands]: a key of each band's rows; equal rows in two different bands give different keys."""
    shaped = signature.reshape(len(signature), bands, rows)
    keys = np.broadcast_to(stream(VERSION, bands), (len(signature), bands)).copy()
    for row in range(rows):
        keys = mix(keys ^ shaped[:, :, row].astype(np.uint64))
    return keys


def rows_of(signatures: pa.Table, gone: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Keys and documents of a unit's SIGNATURE table; documents in `gone` (sorted) have only their IDENTITY."""
    docs = numbers(signatures["doc"])
    stays = np.ones(len(docs), dtype=bool) if gone is None else ~among(docs, gone)
    shown = banded(signatures, gone)
    bands = matrix(signatures["bands"])[shown]
    keys = [of_kind(bands.ravel(), MINHASH), exact_keys(signatures)[stays], of_kind(docs, IDENTITY)]
    return np.concatenate(keys), np.concatenate([np.repeat(docs[shown], bands.shape[1]), docs[stays], docs])


def banded(signatures: pa.Table, gone: np.ndarray | None = None) -> np.ndarray:
    """bool: which documents of a unit have band keys.

    Of texts that are equal, by all 128 bits, only the best: the others leave for the sake of the best of all units,
    whose band keys are there, as it is the best of its unit. Texts without shingles have none.
    """
    docs = numbers(signatures["doc"])
    order = order_of(matrix(signatures["priority"]), docs, numbers(signatures["doc_low"]))
    order = order[~among(docs[order], gone)] if gone is not None else order
    best = np.zeros(len(docs), dtype=bool)
    best[order[first_of_equals(matrix(signatures["exact"])[order])]] = True
    return best & (numbers(signatures["shingles"]) > 0)


def first_of_equals(hashes: np.ndarray) -> np.ndarray:
    """Of each distinct row of uint64 [texts, 2] the number of the first."""
    order = np.argsort(hashes[:, 0], kind="stable")
    one, two = hashes[order, 0], hashes[order, 1]
    new = np.ones(len(order), dtype=bool)
    new[1:] = one[1:] != one[:-1]
    if (~new[1:] & (two[1:] != two[:-1])).any():  # only where somebody made it so
        order = np.lexsort((hashes[:, 1], hashes[:, 0]))
        new[1:] = (hashes[order][1:] != hashes[order][:-1]).any(axis=1)
    return order[new]


def exact_keys(signatures: pa.Table) -> np.ndarray:
    """Key of each document's whole text."""
    return of_kind(mix(matrix(signatures["exact"])[:, 0]), EXACT)


def collapse(keys: np.ndarray, docs: np.ndarray) -> tuple[np.ndarray, np.ndarray, pa.Table]:
    """One row a key, and an EDGE table: a star from each key's smallest document to its others, sorted by key.

    Applied before and after the shuffle alike: what is equal within one unit does not travel. All IDENTITY rows stay.
    """
    order = by_key(keys, docs)
    keys, docs = keys[order], docs[order]
    first = np.ones(len(keys), dtype=bool)
    first[1:] = keys[1:] != keys[:-1]
    again = ~first
    again[1:] &= docs[1:] == docs[:-1]
    centre = docs[np.maximum.accumulate(np.where(first, np.arange(len(keys)), 0))]
    identity = kind_of(keys) == IDENTITY
    joined = ~first & ~identity & ~again
    stays = first | identity
    edges = pa.Table.from_pydict({"left": centre[joined], "right": docs[joined], "key": keys[joined]}, schema=EDGE)
    return keys[stays], docs[stays], edges


def members(edges: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """The reverse: keys and the documents that have them, each pair once, sorted."""
    left, right, key = (numbers(edges[name]) for name in EDGE.names)
    keys, docs = np.concatenate([key, key]), np.concatenate([left, right])
    order = by_key(keys, docs)
    keys, docs = keys[order], docs[order]
    new = np.ones(len(keys), dtype=bool)
    new[1:] = (keys[1:] != keys[:-1]) | (docs[1:] != docs[:-1])
    return keys[new], docs[new]


def by_key(keys: np.ndarray, docs: np.ndarray) -> np.ndarray:
    """Row numbers in the order of keys, then documents. Few keys are equal: only their rows are sorted by both."""
    order = np.argsort(keys)
    ordered = keys[order]
    tied = np.zeros(len(keys), dtype=bool)
    tied[1:] = ordered[1:] == ordered[:-1]
    tied[:-1] |= tied[1:]
    places = np.flatnonzero(tied)
    rows = order[places]
    order[places] = rows[np.lexsort((docs[rows], keys[rows]))]
    return order


def twice(keys: np.ndarray, docs: np.ndarray) -> np.ndarray:
    """Documents that have two IDENTITY rows."""
    found, counts = np.unique(docs[kind_of(keys) == IDENTITY], return_counts=True)
    return found[counts > 1]


def partition_of(keys: np.ndarray, partitions: int) -> np.ndarray:
    """int32: the partition in which all rows of a key meet."""
    return ((mix(keys ^ _PARTITION_SALT) >> np.uint64(32)) % np.uint64(partitions)).astype(np.int32)


def of_kind(hashes: np.ndarray, kind: int) -> np.ndarray:
    """Keys of a kind."""
    return (hashes & ~_KIND) | np.uint64(kind)


def kind_of(keys: np.ndarray) -> np.ndarray:
    """MINHASH, EXACT, IDENTITY or URL of each key."""
    return keys & _KIND


def among(values: np.ndarray, some: np.ndarray) -> np.ndarray:
    """bool: which of the values are in `some`, which is sorted."""
    if not len(some):
        return np.zeros(len(values), dtype=bool)
    return some[np.minimum(np.searchsorted(some, values), len(some) - 1)] == values
