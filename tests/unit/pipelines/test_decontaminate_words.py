"""Words as contamination counts them: what is folded away, where they stand, their n-grams."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from crawl2chat.pipelines.decontaminate_build import INNER_MARK
from crawl2chat.pipelines.decontaminate_words import APART, JOINED, PLAIN, grams, spelled, words_of


@pytest.mark.parametrize(
    ("spelling", "expected"),
    [
        (PLAIN, "dont well known cafe fine 1 000 strasse 漢 字 ab naive"),
        (JOINED, "dont wellknown cafe fine 1000 strasse 漢 字 ab naive"),
        (APART, "don t well known cafe fine 1 000 strasse 漢 字 ab naive"),
    ],
)
def test_what_is_folded_away(spelling: int, expected: str) -> None:
    assert spelled("Don’t WELL-known, Café… ﬁne — 1,000 (Straße) 漢字 ＡＢ nai\u0308ve", spelling) == expected.split()


def test_a_text_without_inner_marks_has_one_spelling(shared_data: Path) -> None:
    with gzip.open(shared_data / "mmlu" / "val.jsonl.gz", "rt", encoding="utf-8") as handle:
        texts = [json.loads(line)["question"] for line in handle]
    plain = [text for text in texts if not INNER_MARK.search(text)]
    assert 300 < len(plain) < len(texts) - 300
    assert all(spelled(text, PLAIN) == spelled(text, JOINED) == spelled(text, APART) for text in plain)


def test_words_know_their_characters() -> None:
    texts = ["Don't — ﬁx it!", "", "漢字 x\u00ady", " -- "]
    words = words_of(texts)
    found = [texts[owner][a:b] for owner, a, b in zip(words.owners.tolist(), words.starts, words.stops, strict=True)]
    assert found == ["Don't", "ﬁx", "it", "漢", "字", "x\u00ady"]
    assert words.offsets.tolist() == [0, 3, 3, 6, 6]


def test_words_of_long_texts_are_those_of_short_ones(shared_data: Path) -> None:
    with gzip.open(shared_data / "text" / "austen" / "emma.txt.gz", "rt", encoding="utf-8") as handle:
        text = handle.read()[:400_000]
    words = words_of(["x", text])
    assert len(words.hashes) - 1 == len(spelled(text)) > 60_000
    again = words_of([text[a:b] for a, b in zip(words.starts[1:].tolist(), words.stops[1:].tolist(), strict=True)])
    assert np.array_equal(again.hashes, words.hashes[1:])


def test_grams_stay_in_their_text() -> None:
    words = words_of(["a b c d", "e", "b c d"])
    found = {n: first.tolist() for n, first, _ in grams(words, [2, 3, 5])}
    assert found == {2: [0, 1, 2, 5, 6], 3: [0, 1, 5], 5: []}
    [(_, _, hashes)] = grams(words, [3])
    assert hashes[1] == hashes[2] and hashes[0] != hashes[1]
