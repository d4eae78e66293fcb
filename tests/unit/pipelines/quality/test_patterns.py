"""What is read off regular expressions, and quicker ones with the same matches."""

from __future__ import annotations

import random
import re

import pytest
from crawl2chat.pipelines.quality.patterns import needs_more_than_letters, quicker

PIECES = [r"(?<=[0-9])(?:km|m|%)$", r"%$", r"\.\.+$", r"(?<=[a-z])\.$", r"'s$", r"[,;:]$", r"—$", r"(?:US)?\$$", r"…$"]


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


@pytest.mark.parametrize("top", [0x80, 0x110000])
def test_quicker_patterns_match_the_same(top: int) -> None:
    pattern = re.compile("|".join(PIECES))
    quick = quicker(pattern, PIECES, top)
    assert quick.pattern != pattern.pattern
    draw = random.Random(1)
    found = 0
    for _ in range(20_000):
        text = "".join(draw.choice("a5km%.'s,US$—…"[: None if top > 0x80 else 12]) for _ in range(draw.randint(0, 6)))
        spans = [[match.span() for match in one.finditer(text)] for one in (pattern, quick)]
        assert spans[0] == spans[1], text
        found += bool(spans[0])
    assert found > 2000


@pytest.mark.parametrize("pieces", [["a*", ","], [r"[^a]", ","], [r"\w", ","], ["(?=a)", ","]])
def test_what_is_not_understood_stays_as_it_is(pieces: list[str]) -> None:
    pattern = re.compile("|".join(pieces))
    assert quicker(pattern, pieces) is pattern


def test_a_pattern_that_is_not_made_of_the_pieces_stays_as_it_is() -> None:
    pattern = re.compile("a|b")
    assert quicker(pattern, ["a", "c"]) is pattern
    ignoring = re.compile("a|b", re.IGNORECASE)
    assert quicker(ignoring, ["a", "b"]) is ignoring
