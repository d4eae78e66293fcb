"""Choices by hash: even, independent of each other and of the order."""

from __future__ import annotations

import numpy as np
from crawl2chat.core.schema import doc_id
from crawl2chat.tokenize.sample import SPAN, SPLIT, TOKENIZER, cut_at, places

IDS = [doc_id("web", str(number)) for number in range(20_000)]


def test_even_and_independent() -> None:
    split, sample = places(IDS, SPLIT), places(IDS, TOKENIZER)
    assert split.min() >= 0 and split.max() < SPAN
    for share in (0.01, 0.05, 0.5):
        for found in (split, sample):
            assert abs((found < cut_at(share)).mean() - share) < 4 * np.sqrt(share * (1 - share) / len(IDS))
    both = ((split < cut_at(0.2)) & (sample < cut_at(0.2))).mean()
    assert abs(both - 0.04) < 4 * np.sqrt(0.04 * 0.96 / len(IDS))


def test_small_ids_validate_no_more_often() -> None:
    """Deduplication keeps small doc_ids: the split must not look at their size."""
    smallest = sorted(IDS)[:5000]
    assert abs((places(smallest, SPLIT) < cut_at(0.05)).mean() - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 5000)


def test_a_place_is_the_documents_own() -> None:
    assert places(IDS[::-1], SPLIT).tolist() == places(IDS, SPLIT).tolist()[::-1]
    assert places(["0" * 32], SPLIT).tolist() == [4250382817697954]
    assert len(places([], SPLIT)) == 0
    assert cut_at(1.0) == SPAN
