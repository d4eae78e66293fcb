"""The compiled splitter against the regular expressions that it stands for, by the library's engine."""

from __future__ import annotations

import random

import pytest
from crawl2chat.tokenize.patterns import cutting_of, regex_of
from crawl2chat.tokenize.probes import probes
from crawl2chat.tokenize.splitting import pieces
from tokenizers import Regex, pre_tokenizers

PATTERNS = [(name, digits) for name in ("gpt2", "gpt4", "gpt4-marks") for digits in (None, 1, 3)]


@pytest.mark.parametrize(("name", "digits"), PATTERNS)
def test_pieces_are_the_regular_expressions(name: str, digits: int | None) -> None:
    regex = regex_of(name, digits)
    cutting = cutting_of(regex)
    assert cutting is not None
    theirs = pre_tokenizers.Split(Regex(regex), "isolated")
    for text in probes():
        assert pieces(text, cutting) == [piece for piece, _ in theirs.pre_tokenize_str(text)], repr(text)


def test_what_the_patterns_are_for() -> None:
    def cut(name: str, text: str, digits: int | None = None) -> list[str]:
        cutting = cutting_of(regex_of(name, digits))
        assert cutting is not None
        return pieces(text, cutting)

    assert cut("gpt2", "I'm 12345, x=y") == ["I", "'m", " 12345", ",", " x", "=", "y"]
    assert cut("gpt4", "I'M 12345, x=y") == ["I", "'M", " ", "123", "45", ",", " x", "=y"]
    assert cut("gpt2", "I'M") == ["I", "'", "M"]
    assert cut("gpt2", "a 12345", 3) == ["a", " 123", "45"]
    assert cut("gpt4", "1234", 1) == ["1", "2", "3", "4"]
    assert cut("gpt4", "a.\r\n\r\n  b") == ["a", ".\r\n\r\n", " ", " b"]
    assert cut("gpt2", "a.\n\n  b") == ["a", ".", "\n\n ", " b"]
    assert cut("gpt4", "हिन्दी")[0] != "हिन्दी"
    assert cut("gpt4-marks", "हिन्दी") == ["हिन्दी"]


def test_nothing_else_is_known() -> None:
    assert cutting_of(r"\p{L}+|\s+") is None
    assert regex_of(r"\p{L}+|\s+") == r"\p{L}+|\s+"


def test_pieces_join_to_the_text() -> None:
    drawn = random.Random(3)
    cutting = cutting_of(regex_of("gpt4-marks"))
    assert cutting is not None
    points = [*range(0xD800), *range(0xE000, 0x20000)]
    for _ in range(300):
        text = "".join(map(chr, drawn.choices(points, k=40)))
        assert "".join(pieces(text, cutting)) == text
