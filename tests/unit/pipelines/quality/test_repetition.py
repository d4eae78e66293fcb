"""Repeated runs of words: datatrove's own functions as the oracle, on word lists where much repeats."""

from __future__ import annotations

import random

import numpy as np
import pytest
from crawl2chat.pipelines.quality.lexicon import Lexicon
from crawl2chat.pipelines.quality.repetition import repeated_characters, top_characters
from crawl2chat.pipelines.quality.tokens import Words
from datatrove.pipeline.filters.gopher_repetition_filter import find_all_duplicate, find_top_duplicate, get_n_grams

SIZES = (1, 2, 3, 4, 5, 7, 10)


def read(lexicon: Lexicon, texts: list[list[str]]) -> Words:
    words = lexicon.read([" ".join(text) for text in texts], ["en"] * len(texts))
    assert words.counts.tolist() == [len(text) for text in texts]
    return words


def some_texts(seed: int) -> list[list[str]]:
    """Few different words, so that runs repeat; letters only, so that each is one word; some texts short or empty."""
    draw = random.Random(seed)
    alphabet = ["ab", "c", "abc", "bc", "a", "b", "longer", "words"][: draw.randint(2, 8)]
    return [[draw.choice(alphabet) for _ in range(draw.choice([0, 1, 3, 9, 40, 200]))] for _ in range(12)]


@pytest.mark.parametrize("seed", range(12))
def test_counts_are_datatroves(seed: int) -> None:
    texts = some_texts(seed)
    lexicon = Lexicon()
    words = read(lexicon, texts)
    tops, again = top_characters(words, lexicon, SIZES), repeated_characters(words, lexicon, SIZES)
    for n in SIZES:
        grams = [get_n_grams(text, n) for text in texts]
        assert tops[n].tolist() == [find_top_duplicate(some) if some else 0 for some in grams]
        assert again[n].tolist() == [find_all_duplicate(text, n) for text in texts]


def test_joined_words_repeat_also_when_they_are_cut_otherwise() -> None:
    lexicon = Lexicon()
    words = read(lexicon, [["a", "bc", "x", "ab", "c", "y"]])
    assert repeated_characters(words, lexicon, [2])[2].tolist() == [3]
    assert top_characters(words, lexicon, [2])[2].tolist() == [len("a bc")]


def test_texts_do_not_repeat_each_other() -> None:
    lexicon = Lexicon()
    words = read(lexicon, [["same", "few", "words"], ["same", "few", "words"], ["same", "few"], ["words", "same"]])
    assert not np.any(repeated_characters(words, lexicon, [2])[2])
    assert top_characters(words, lexicon, [2])[2].tolist() == [8, 8, 8, 10]


def test_of_equally_frequent_runs_the_first_counts() -> None:
    lexicon = Lexicon()
    words = read(lexicon, [["a", "b", "longer", "words", "a", "b", "longer", "words"]])
    assert top_characters(words, lexicon, [2])[2].tolist() == [2 * len("a b")]
