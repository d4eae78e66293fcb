"""Priority terms against Python's own sorting, and what a recipe may name."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from crawl2chat.core.settings_data import Dedup
from crawl2chat.dedup.priority import order_of, priority

ROWS = [
    {"source": "wiki", "date": "2024-05-01T10:00:00Z", "score_quality": 0.5, "length": 10},
    {"source": "web", "date": "2024-05-01T09:00:00Z", "score_quality": -0.5, "length": 10},
    {"source": "web", "date": "", "score_quality": float("nan"), "length": 30},
    {"source": "wiki", "date": "2019", "score_quality": 0.9, "length": 20},
    {"source": "web", "date": "2023-12", "score_quality": 0.5, "length": 30},
]


@pytest.mark.parametrize(
    "terms, expected",
    [
        (["length", "source", "doc_id"], [2, 4, 3, 1, 0]),
        (["-length", "doc_id"], [0, 1, 3, 2, 4]),
        (["length", "date"], [4, 2, 3, 0, 1]),
        (["score_quality", "-date"], [3, 4, 0, 1, 2]),
        (["-score_quality", "source"], [1, 4, 0, 3, 2]),
        (["date"], [0, 1, 4, 3, 2]),
        (["-date"], [3, 4, 1, 0, 2]),
        (["-doc_id"], [4, 3, 2, 1, 0]),
        (["source"], [1, 2, 4, 0, 3]),
        (["-source"], [0, 3, 1, 2, 4]),
    ],
)
def test_orders(terms: list[str], expected: list[int]) -> None:
    doc = np.arange(len(ROWS)).astype(np.uint64) << np.uint64(50)
    table = pa.Table.from_pylist(ROWS)
    chars = np.array([row["length"] for row in ROWS])
    assert order_of(priority(table, terms, ["web", "wiki"], doc, chars), doc, doc).tolist() == expected


def test_terms_that_do_not_exist_are_refused() -> None:
    assert Dedup().order(["quality"]) == ["score_quality", "length", "source", "doc_id"]
    assert Dedup().order([]) == ["length", "source", "doc_id"]
    with pytest.raises(ValueError, match="'score_other'; there are score_quality, length, source, date, doc_id"):
        Dedup(priority=["score_other"]).order(["quality"])
