"""Intervals, and similarities that need no hash."""

from __future__ import annotations

import pytest
from crawl2chat.core.recipe import Recipe
from crawl2chat.core.settings_data import Dedup
from crawl2chat.core.stage import fingerprint
from crawl2chat.dedup.dedup_stage import DEDUP
from crawl2chat.dedup.gates import plain_jaccard, plain_shingles, wilson


def test_interval_of_a_share() -> None:
    """Against the values of Newcombe 1998, table I, method 3."""
    for hits, count, expected in ((81, 263, (0.2553, 0.3662)), (15, 148, (0.0624, 0.1605)), (0, 20, (0.0, 0.1611))):
        assert wilson(hits, count) == pytest.approx(expected, abs=5e-5)
    assert wilson(0, 0) == (0.0, 1.0)


def test_plain_runs_of_words_and_characters() -> None:
    words = Dedup(ngram=2)
    assert plain_shingles("Don't STOP, 東京!", words) == {("don", "t"), ("t", "stop"), ("stop", "東"), ("東", "京")}
    assert plain_shingles("a b?", Dedup(ngram=2, unit="character")) == {("a", "b")}
    assert plain_jaccard("a b c d", "b c d e", words) == 0.5
    assert plain_jaccard("", "", words) == 0.0


def test_limits_that_only_judge_are_in_no_fingerprint() -> None:
    """Another max_component goes on where the stage stopped; another giant_cluster changes who stays."""
    marks = [fingerprint(DEDUP, recipe(**gates), {}) for gates in ({}, {"max_component": 5}, {"giant_cluster": 5})]
    assert marks[0] == marks[1] != marks[2]


def recipe(**gates: int) -> Recipe:
    sources = [{"kind": "jsonl", "name": "web", "paths": ["pages.jsonl"]}]
    return Recipe.model_validate({"name": "one", "storage": "runs", "sources": sources, "dedup": {"gates": gates}})
