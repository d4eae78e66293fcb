"""What a recipe may say of its tokenizer, and what the error says of the rest."""

from __future__ import annotations

import pytest
from crawl2chat.core.settings_tokenizer import Tokenizer
from crawl2chat.tokenize.bpe import SPECIAL_TOKENS
from pydantic import ValidationError

FILES = {"vocab": "vocab.json", "merges": "merges.txt"}


@pytest.mark.parametrize(
    "values",
    [
        {},
        *({"pattern": name, "digits": digits} for name in ("gpt2", "gpt4", "gpt4-marks") for digits in (None, 1, 3)),
        {"pattern": r"\p{L}+|\p{N}|\s+(?!\S)|\s+|[^\s\p{L}\p{N}]+"},
        {"alphabet": "characters", "character_coverage": 1.0},
        {"special_tokens": ["<|tool|>", "<|system|>"], "vocab_size": 300},
        {"files": FILES, "special_tokens": ["<|tool|>"]},
    ],
)
def test_fine(values: dict) -> None:
    Tokenizer.model_validate(values)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"pattern": "gpt5"}, r"'gpt5', neither a name nor a regular expression; use one of gpt2, gpt4, gpt4-marks"),
        ({"pattern": ""}, "neither a name nor a regular expression"),
        ({"pattern": r"(\p{L}+"}, r"is no regular expression that Oniguruma reads.*parenthesis.*; correct it"),
        ({"pattern": r"\p{Nonsense}+"}, r"Oniguruma reads.*invalid character property"),
        ({"pattern": r"\p{L}+|\s", "digits": 1}, r"own pattern says itself.*; write \\p\{N\}"),
        ({"digits": 2}, "digits"),
        ({"special_tokens": ["<|tool|>", "<|tool|>"]}, r"'<\|tool\|>' twice or empty; give each"),
        ({"special_tokens": [" "]}, "twice or empty"),
        ({"special_tokens": ["<|end|>"]}, r"has <\|end\|>, which is there anyway; leave it out"),
        ({"special_tokens": [f"<|{n}|>" for n in range(60)], "vocab_size": 310}, "310, less than.*; give at least 320"),
        (
            {"files": FILES, "pattern": "gpt4"},
            r"pattern is 'gpt4', but .*tokenizer\.files.*; leave pattern out, or files",
        ),
        ({"files": FILES, "vocab_size": 50257}, "vocab_size is 50257, but .*; leave vocab_size out, or files"),
        ({"files": {"vocab": "vocab.json"}}, "merges"),
    ],
)
def test_what_is_wrong_and_the_fix(values: dict, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Tokenizer.model_validate(values)


def test_the_four_special_tokens_are_those_of_the_chat_template() -> None:
    for taken in SPECIAL_TOKENS:
        with pytest.raises(ValidationError, match="which is there anyway"):
            Tokenizer(special_tokens=[taken])


def test_files_are_rooted_and_come_back_from_a_dump() -> None:
    rooted = Tokenizer.model_validate({"files": FILES}).rooted(lambda path: f"/data/{path}")
    assert rooted.files is not None and rooted.files.vocab == "/data/vocab.json"
    assert Tokenizer.model_validate(rooted.model_dump()) == rooted
    assert Tokenizer().rooted(str) == Tokenizer()
