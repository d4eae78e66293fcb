"""GSM8K's answers: which number of a text counts."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from crawl2chat.evaluate.answers import flexible_extract, strict_match
from crawl2chat.evaluate.tasks import TASKS

ANSWER = "She makes 9 * 2 = $<<9*2=18>>18,000 every day.\n#### 18,000"


@pytest.mark.parametrize(
    ("text", "strict", "flexible"),
    [
        ("So it is 18.\n#### 18,000", True, True),
        ("#### 18000\nand then 5 more", True, False),
        ("It is $18,000.", False, True),
        ("#### $18,000", False, True),  # the strict pattern begins with a digit
        ("#### 18,000.", True, True),
        ("#### 1 \n#### 18,000", False, True),
        ("#### -18,000", False, False),
        ("eighteen thousand", False, False),
        ("", False, False),
        ("18,000 is what she has, not 17", False, False),
    ],
)
def test_which_number_counts(text: str, strict: bool, flexible: bool) -> None:
    assert strict_match(text, ANSWER) is strict
    assert flexible_extract(text, ANSWER) is flexible


def test_the_real_answers_match_themselves(shared_data: Path) -> None:
    solutions = [item.choices[0] for item in TASKS["gsm8k"].load(shared_data)]
    assert all(strict_match(one, one) and flexible_extract(one, one) for one in solutions)
    assert sum(strict_match(a, b) for a, b in pairwise(solutions)) < 0.1 * len(solutions)
