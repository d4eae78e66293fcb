"""Cuts take out exactly their spans, join the rest legibly, and lead back to the extracted text."""

from __future__ import annotations

import random

import pytest
from crawl2chat.core.cuts import CutText, cut, merge


def test_spans_are_merged_in_order() -> None:
    assert merge([(5, 9), (0, 2), (2, 3), (8, 12), (20, 20)]) == [(0, 3), (5, 12)]


@pytest.mark.parametrize(
    ("text", "gone", "left"),
    [
        ("A\n\nmenu\n\nB", "menu\n\n", "A\n\nB"),  # whole lines with what follows them
        ("menu\n\nB", "menu", "B"),  # no line feeds are left at the ends
        ("A\n\nmenu", "menu", "A"),
        ("one two three", "two", "one\nthree"),  # what stood apart does not read as one sentence
        ("one two\nthree", "two", "one\nthree"),
        ("menu", "menu", ""),
        ("ä😀b\ncut\nd", "cut\n", "ä😀b\nd"),  # code points, not bytes
    ],
)
def test_what_is_left(text: str, gone: str, left: str) -> None:
    start = text.index(gone)
    assert cut(text, [(start, start + len(gone))]) == left


def test_white_space_between_two_cuts_goes() -> None:
    assert cut("A\nxx \n yy\nB", [(2, 4), (7, 9)]) == "A\n\nB"


def test_a_text_without_cuts_is_not_touched() -> None:
    assert cut(" \n a ", []) == " \n a "


def test_every_character_leads_back() -> None:
    draw = random.Random(5)
    for _ in range(300):
        text = "".join(draw.choice("abcdefgh \nüß😀") for _ in range(draw.randint(1, 60)))
        spans = [
            (a, min(len(text), a + draw.randint(0, 9))) for a in draw.choices(range(len(text)), k=draw.randint(1, 4))
        ]
        made = CutText(text, spans)
        gone = {at for start, stop in spans for at in range(start, stop)}
        kept = "".join(char for at, char in enumerate(text) if at not in gone)
        assert "".join(made.text.split()) == "".join(kept.split())  # nothing but the spans and white space left
        for at, char in enumerate(made.text):
            start, stop = made.extracted(at, at + 1)
            assert stop == start + 1 and start not in gone
            assert char == "\n" or text[start] == char


def test_a_span_across_a_cut_holds_the_cut() -> None:
    text = "keep this CUT and that"
    made = CutText(text, [(10, 13)])
    assert made.text == "keep this\nand that"
    start, stop = made.extracted(5, 13)
    assert text[start:stop] == "this CUT and"
