"""Which texts hold which items: layouts, short items, phrases of a set, shares, the rule."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crawl2chat.core.settings_cleaning import Decontaminate, EvalSet
from crawl2chat.pipelines.decontaminate_build import MAX_ITEMS, build
from crawl2chat.pipelines.decontaminate_index import Index
from crawl2chat.pipelines.decontaminate_match import is_contamination, matches, widened
from crawl2chat.pipelines.decontaminate_words import grams, words_of

LONG = "Which of the following rivers flows through more countries than any other river of the world does?"
CHOICES = ["the Danube, through ten", "the Nile, through eleven", "the Rhine", "the Congo"]


@pytest.fixture
def index_of(tmp_path: Path) -> Callable[..., Index]:
    """Makes the index of one set of items, given as objects."""

    def make(rows: Sequence[dict[str, Any]], **settings: Any) -> Index:
        path = tmp_path / "items.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        fields = list(rows[0])
        build(Decontaminate(sets=[EvalSet(name="made", paths=[str(path)], fields=fields)], **settings), tmp_path)
        return Index(tmp_path)

    return make


@pytest.mark.parametrize(
    "page",
    [
        f"{LONG} {' '.join(CHOICES)}",
        f"1) {LONG.upper()}\n" + "\n".join(f"({letter}) {one}" for letter, one in zip("ABCD", CHOICES, strict=True)),
        LONG.replace(" ", " - "),
        LONG,
    ],
)
def test_an_item_is_found_in_any_layout(index_of: Callable[..., Index], page: str) -> None:
    index = index_of(
        [{"q": LONG, "c": CHOICES}, {"q": "Another question of no interest here, is it not so?", "c": ["a"]}]
    )
    [found] = matches([f"Before it. {page} After it."], index)
    assert (found.item, found.share) == (0, 1.0)
    assert found.ngrams >= 5


def test_short_items_count_as_a_whole_or_not_at_all(index_of: Callable[..., Index]) -> None:
    rows = [
        {"q": "What is the birthstone for the month of January?", "c": ["garnet", "ruby"]},  # asks
        {"q": "The enzymes of glycolysis are located in the", "c": ["nucleus", "cytosol"]},  # a sentence begun
        {"q": "Who is it?", "c": ["he", "she"]},  # too short to be looked for
    ]
    index = index_of(rows)
    assert index.items["chars"].to_pylist()[2] == 0
    pages = [
        "She asked: what is the birthstone for the month of january, do you know?",
        "What is the birthstone for the month of May?",
        "As all know, the enzymes of glycolysis are located in the cytosol of the cell.",
        "Q: The enzymes of glycolysis are located in the: A) nucleus B) cytosol",
        "Who is it? he she",
    ]
    assert [(one.document, one.item, one.share) for one in matches(pages, index)] == [(0, 0, 1.0), (3, 1, 1.0)]


def test_a_collision_of_hashes_is_no_match(index_of: Callable[..., Index], tmp_path: Path) -> None:
    """The index claims the hashes of another text: only the words themselves tell."""
    index_of([{"q": LONG}])
    other = "the quick brown fox jumps over the lazy dog and then it runs away from them all day"
    [(_, _, hashes)] = grams(words_of([other]), [13])
    stored = np.load(tmp_path / "hashes.npy")
    hashes = hashes[: len(stored)]
    np.save(tmp_path / "hashes.npy", np.sort(hashes))
    bits = np.ones_like(np.load(tmp_path / "filter.npy"))
    np.save(tmp_path / "filter.npy", bits)
    index = Index(tmp_path)
    assert list(index.find(hashes)), "the hashes are found"
    assert matches([other], index) == []


def test_phrases_of_a_set_are_no_mark_of_an_item(index_of: Callable[..., Index]) -> None:
    phrase = "In the following scenario, please say whether the one who is named in it does what is right:"
    rows = [
        {"q": phrase, "c": [f"{name} finds a purse number {n} and keeps it for many days"]}
        for n, name in enumerate(["Ann", "Bob", "Cyd", "Dan", "Eve", "Fay", "Gus", "Hal", "Ida", "Jon", "Kay", "Lee"])
    ]
    assert len(rows) > MAX_ITEMS
    index = index_of(rows)
    assert matches([f"He said: {phrase} and so on, as in {phrase}"], index) == []
    [found] = matches([f"{phrase} Dan finds a purse number 3 and keeps it for many days"], index)
    assert (found.item, found.share) == (3, 1.0)


def test_the_share_is_that_of_the_question_or_of_the_item(index_of: Callable[..., Index]) -> None:
    words = [f"w{number}" for number in range(40)]
    index = index_of([{"q": " ".join(words[:20]), "c": [" ".join(words[20:])]}])
    half, less, across = matches([" ".join(words[:14]), " ".join(words[:13]), " ".join(words[10:30])], index)
    size = sum(map(len, words[:20]))
    assert half.share == pytest.approx(sum(map(len, words[:14])) / size) and half.ngrams == 2
    assert less.share == pytest.approx(sum(map(len, words[:13])) / size) and less.ngrams == 1
    assert across.share == pytest.approx(max(sum(map(len, words[10:20])) / size, 0.5), abs=0.02)


@pytest.mark.parametrize(
    ("share", "rare", "least", "verdict"),
    [
        (0.5, True, 0.5, True),
        (0.49, True, 0.5, False),
        (0.6, False, 0.5, False),
        (0.95, False, 0.5, True),
        (0.01, True, 0, True),
    ],
)
def test_the_rule(share: float, rare: bool, least: float, verdict: bool) -> None:
    assert is_contamination(share, rare, least) is verdict


def test_spans_widen_to_words_and_take_short_pieces_along() -> None:
    text = "aaa bbb ccc ddd eee fff ggg hhh iii"
    [(start, stop)] = widened(text, [(12, 15)], 2, 1)
    assert text[start:stop] == "ccc ddd eee"
    assert widened(text, [(12, 15)], 2, 9) == [(0, 19)]  # "aaa bbb " goes too
    assert widened(text, [(0, 3), (32, 35)], 0, 1) == [(0, 3), (32, 35)]
