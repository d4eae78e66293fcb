"""What is read off regular expressions, and quicker ones with the same matches."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from typing import Any

import pytest
from crawl2chat.pipelines.quality.patterns import (
    BEGIN,
    END,
    ByCharacter,
    Finder,
    Unclear,
    by_character,
    finder,
    needs_more_than_letters,
)

PIECES = [
    r"(?<=[0-9])(?:km|m|%)",
    r"%",
    r"\.\.+",
    r"(?<=[a-z])\.",
    r"'s",
    r"[,;:]",
    r"—",
    r"(?:US)?\$",
    r"…",
    r"5+(?!m)",
]


@pytest.mark.parametrize(
    ("pattern", "answer"),
    [
        (r"(?<=[0-9])(?:km|m)$", True),
        (r"^§|^\(|^…+", True),
        (r"[.,]+x?", True),
        (r"[\d\s]a", True),
        (r"(?:km|m)$", False),
        (r"a*|,", False),
        (r"\.?b", False),
        (r"[^a]", False),
        (r"[.b]", False),
        (r"(?<!\.)$", False),
        (r".", False),
    ],
)
def test_what_patterns_need(pattern: str, answer: bool) -> None:
    assert needs_more_than_letters(re.compile(pattern)) is answer


def matches(text: str, by: dict[str, Finder | None], last: bool) -> tuple[int, int] | None:
    """The match at one end of a text, as the character there leads to it."""
    tried = by[text[-1 if last else 0]] if text else None
    found = tried.find(text, max(0, len(text) - tried.width) if last else 0) if tried else None
    return found.span() if found else None


def some_texts() -> Iterator[str]:
    draw = random.Random(1)
    for _ in range(20_000):
        yield "".join(draw.choice("a5km%.'s,US$—…") for _ in range(draw.randint(0, 7)))


@pytest.mark.parametrize(("anchor", "form"), [(BEGIN, "^{}"), (END, "{}$")])
def test_affixes_by_character_are_those_of_the_whole_pattern(anchor: Any, form: str) -> None:
    pieces = [form.format(piece) for piece in PIECES]
    pattern = re.compile("|".join(pieces))
    by = by_character(pattern, pieces, anchor)
    assert isinstance(by, ByCharacter)
    found = 0
    for text in some_texts():
        match = pattern.search(text)
        assert matches(text, by, anchor == END) == (match.span() if match else None), text
        found += match is not None
    assert found > 2000
    assert by["é"] is None


def test_a_finder_finds_what_the_pattern_finds() -> None:
    pattern = re.compile("|".join(PIECES))
    quick = finder(pattern, PIECES)
    found = 0
    for text in some_texts():
        spans = [match.span() for match in pattern.finditer(text)]
        assert quick(text) == spans, text
        found += bool(spans)
    assert found > 2000


@pytest.mark.parametrize("pieces", [["a*", ","], [r"[^a]", ","], [r"\w", ","], ["(?=a)", ","]])
def test_what_is_not_understood_stays_as_it_is(pieces: list[str]) -> None:
    pattern = re.compile("|".join(pieces))
    with pytest.raises(Unclear):
        ByCharacter(pattern, pieces)
    assert all(finder(pattern, pieces)(text) == [one.span() for one in pattern.finditer(text)] for text in ("xa,", "b"))
    ends = [f"{piece}$" for piece in pieces]
    whole = re.compile("|".join(ends))
    text = "xa,"
    match = whole.search(text)
    assert match is not None
    assert matches(text, by_character(whole, ends, END), True) == match.span()


def test_a_pattern_that_is_not_made_of_the_pieces_or_not_anchored_is_not_taken_apart() -> None:
    for pattern, pieces, anchor in (
        (re.compile("a|b"), ["a", "c"], None),
        (re.compile("a|b", re.IGNORECASE), ["a", "b"], None),
        (re.compile("^a|b"), ["^a", "b"], BEGIN),
        (re.compile("a|b$"), ["a", "b$"], END),
    ):
        with pytest.raises(Unclear):
            ByCharacter(pattern, pieces, anchor)
