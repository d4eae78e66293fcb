"""Locality-sensitive hashing (Indyk and Motwani 1998): signatures to rows (key, document), of which equal keys meet.

A key is 62 bits of hash above 2 bits that say what agrees:

    MINHASH    all rows of one band of the signature; one key for each band
    EXACT      the whole normalised text
    IDENTITY   the document's id: two rows of one document mean that a doc_id stands twice
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from .hashing import mix, stream
from .minhash import VERSION
from .tables import EDGE, matrix, numbers

MINHASH, EXACT, IDENTITY = 0, 1, 2
_KIND = np.uint64(3)
_PARTITION_SALT = np.uint64(0x94D049BB133111EB)


def collision_probability(similarity: float, bands: int, rows: int) -> float:
    """Probability that a pair shares a band (Leskovec, Rajaraman and Ullman: Mining of Massive Datasets, 3.4)."""
    return 1.0 - (1.0 - similarity**rows) ** bands


def band_keys(signature: np.ndarray, bands: int, rows: int) -> np.ndarray:
    """uint64 [texts, bands]: a key of each band's rows; equal rows in two different bands give different keys."""
    shaped = signature.reshape(len(signature), bands, rows)
    keys = np.broadcast_to(stream(VERSION, bands), (len(signature), bands)).copy()
    for row in range(rows):
        keys = mix(keys ^ shaped[:, :, row].astype(np.uint64))
    return keys


def rows_of(signatures: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Keys and documents of a SIGNATURE table; texts without shingles have no band keys."""
    docs = numbers(signatures["doc"])
    bands = matrix(signatures["bands"])
    shingled = numbers(signatures["shingles"]) > 0
    exact = mix(matrix(signatures["exact"])[:, 0])
    keys = [_of_kind(bands[shingled].ravel(), MINHASH), _of_kind(exact, EXACT), _of_kind(docs, IDENTITY)]
    return np.concatenate(keys), np.concatenate([np.repeat(docs[shingled], bands.shape[1]), docs, docs])


def collapse(keys: np.ndarray, docs: np.ndarray) -> tuple[np.ndarray, np.ndarray, pa.Table]:
    """One row a key, and an EDGE table: a star from each key's smallest document to its others.

    Applied before and after the shuffle alike: what is equal within one unit does not travel. All IDENTITY rows stay.
    """
    order = np.lexsort((docs, keys))
    keys, docs = keys[order], docs[order]
    first = np.ones(len(keys), dtype=bool)
    first[1:] = keys[1:] != keys[:-1]
    centre = docs[np.maximum.accumulate(np.where(first, np.arange(len(keys)), 0))]
    kind = keys & _KIND
    joined = ~first & (kind != IDENTITY) & (centre != docs)
    stays = first | (kind == IDENTITY)
    return keys[stays], docs[stays], _edges(centre[joined], docs[joined], kind[joined] == EXACT)


def twice(keys: np.ndarray, docs: np.ndarray) -> np.ndarray:
    """Documents that have two IDENTITY rows."""
    found, counts = np.unique(docs[(keys & _KIND) == IDENTITY], return_counts=True)
    return found[counts > 1]


def partition_of(keys: np.ndarray, partitions: int) -> np.ndarray:
    """int32: the partition in which all rows of a key meet."""
    return ((mix(keys ^ _PARTITION_SALT) >> np.uint64(32)) % np.uint64(partitions)).astype(np.int32)


def _of_kind(hashes: np.ndarray, kind: int) -> np.ndarray:
    return (hashes & ~_KIND) | np.uint64(kind)


def _edges(left: np.ndarray, right: np.ndarray, exact: np.ndarray) -> pa.Table:
    """Sorted, each pair once a kind: a pair that shares several bands is one edge."""
    order = np.lexsort((exact, right, left))
    left, right, exact = left[order], right[order], exact[order]
    new = np.ones(len(left), dtype=bool)
    new[1:] = (left[1:] != left[:-1]) | (right[1:] != right[:-1]) | (exact[1:] != exact[:-1])
    return pa.Table.from_pydict({"left": left[new], "right": right[new], "exact": exact[new]}, schema=EDGE)
