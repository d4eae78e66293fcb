"""What the section dedup refuses, with key, value and fix."""

from __future__ import annotations

import pytest
from crawl2chat.core.errors import RecipeError
from crawl2chat.core.recipe import load_recipe
from crawl2chat.core.settings_data import Dedup


@pytest.mark.parametrize(
    "override, said",
    [
        ("dedup={bands: 14}", r"dedup.bands and dedup.rows belong together"),
        (
            "dedup={threshold: 0.5, recall: 0.999, max_hashes: 5}",
            r"similarity 0.5 with recall 0.999[\s\S]*max_hashes=10",
        ),
        ("dedup={verify: none, index: x}", r"dedup.verify is none[\s\S]*use verify: jaccard or signature"),
        ("dedup={verify: none, write_index: true}", r"dedup.verify is none"),
        ("dedup={bands: 1000, rows: 60}", r"is 60000"),
        ("dedup.priority=[score_quality]", r"names 'score_quality'[\s\S]*there are length, source, date, doc_id"),
    ],
)
def test_settings_that_do_not_fit(override: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        load_recipe("tiny", [override])


def test_bands_as_given_or_solved_for() -> None:
    assert Dedup().banding == (16, 6)
    assert Dedup(bands=14, rows=8).banding == (14, 8)
