"""Choosing documents by a hash of their doc_id: the same choice in any order, on any machine, in every run.

A choice for one purpose says nothing about a choice for another: each purpose has its own salt.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xxhash

SPLIT = "split"  # training or validation
TOKENIZER = "tokenizer"  # in the sample that the tokenizer is trained on, or not
FERTILITY = "fertility"  # among the documents on which the new vocabulary is measured, or not
SPAN = 1 << 53  # the hashes are integers below this: exact as floats, and in JSON


def places(doc_ids: Sequence[str], purpose: str) -> np.ndarray:
    """int64, each in [0, SPAN): where each document falls, evenly spread."""
    hashes = [xxhash.xxh3_64_intdigest(f"{purpose}\0{doc_id}".encode()) for doc_id in doc_ids]
    return (np.array(hashes, dtype=np.uint64) >> np.uint64(11)).astype(np.int64)


def cut_at(share: float) -> int:
    """Documents with a place below this are about `share` of all."""
    return min(SPAN, round(share * SPAN))
