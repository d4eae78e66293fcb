"""Who stays: the recipe's priority expression as columns of numbers, of which smaller is better.

Terms, each in its natural direction; a leading - turns it round:

    score_NAME   highest first     date     newest first (time zones are not compared)
    length       longest first     source   in the order of the recipe
                                   doc_id   smallest first

A document that lacks a value comes last in either direction. What is still equal is decided by doc_id, so that the
choice depends on neither files nor their order.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from ..core.documents import strings

LAST = np.uint64(0xFFFFFFFFFFFFFFFF)  # of a document without the value
_TOP = np.uint64(1 << 63)
_NO_DIGITS = re.compile(r"\D")


def columns_of(terms: Sequence[str]) -> list[str]:
    """The columns of documents/ that the terms need, beside doc_id and text."""
    names = [term.removeprefix("-") for term in terms]
    return [name for name in names if name in ("source", "date") or name.startswith("score_")]


def priority(
    batch: pa.Table | pa.RecordBatch, terms: Sequence[str], sources: Sequence[str], docs: np.ndarray, chars: np.ndarray
) -> np.ndarray:
    """uint64 [documents, terms]: rows that compare smaller are better."""
    out = np.empty((len(docs), len(terms)), dtype=np.uint64)
    for place, term in enumerate(terms):
        name = term.removeprefix("-")
        if name == "length":
            best_last = chars.astype(np.uint64)
        elif name == "doc_id":
            best_last = ~docs >> np.uint64(1)  # halves of the range: LAST stays free
        elif name == "source":
            number = {source: at for at, source in enumerate(sources)}
            best_last = ~np.array([number.get(one, len(number)) for one in strings(batch["source"])], dtype=np.uint64)
            best_last &= ~_TOP
        elif name == "date":
            best_last = dates(strings(batch["date"]))
        else:
            best_last = ordered(np.asarray(batch[name], dtype=np.float64))
        absent = best_last == LAST
        turned = best_last if term.startswith("-") else LAST - np.uint64(1) - best_last
        out[:, place] = np.where(absent, LAST, turned)
    return out


def ordered(values: np.ndarray) -> np.ndarray:
    """float64 as uint64 in the same order; NaN is LAST."""
    bits = np.ascontiguousarray(values).view(np.uint64)
    ascending = np.where(bits & _TOP, ~bits, bits | _TOP) >> np.uint64(1)
    return np.where(np.isnan(values), LAST, ascending)


def dates(texts: Sequence[str]) -> np.ndarray:
    """ISO 8601 dates as uint64 in their order, to the second; those without one are LAST."""
    digits = [_NO_DIGITS.sub("", text)[:14] for text in texts]
    return np.array([int(one.ljust(14, "0")) if len(one) >= 4 else int(LAST) for one in digits], dtype=np.uint64)


def order_of(ranks: np.ndarray, doc: np.ndarray, low: np.ndarray) -> np.ndarray:
    """Row numbers, the best first. ranks as `priority` gives them."""
    return np.lexsort((low, doc, *ranks.T[::-1]))
