"""A tokenizer as a GGUF file has it: the same ids on both ways, and what GGUF has no word for is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import tokenizers
from crawl2chat.core.errors import InputError
from crawl2chat.tokenize.bpe import Tokenizer
from crawl2chat.tokenize.gguf_patterns import REGEXES, name_of
from crawl2chat.tokenize.gguf_tokens import ADDED, CONTROL, TEXT, UNUSED, from_gguf, to_gguf
from crawl2chat.tokenize.patterns import regex_of
from crawl2chat.tokenize.probes import probes
from tokenizers import Regex, pre_tokenizers

Trained = Callable[..., Tokenizer]


@pytest.mark.parametrize(
    ("settings", "pre"),
    [
        ({"pattern": "gpt2"}, "gpt-2"),
        ({"pattern": "gpt4"}, "llama-bpe"),
        ({"pattern": "gpt4", "digits": 3}, "llama-bpe"),
        ({"pattern": "gpt4", "digits": 1, "special_tokens": ("<|im_start|>",)}, "qwen2"),
    ],
)
def test_there_and_back_texts_have_the_same_ids(
    settings: dict, pre: str, trained: Trained, web_texts: list[str], declarations: dict[str, str]
) -> None:
    tokenizer = trained(**settings)
    parts = to_gguf(tokenizer.data, tokenizer.vocab_size + 2, "here")
    assert (parts.pre, parts.exact) == (pre, True)
    special = [token for token, kind in zip(parts.tokens, parts.types, strict=True) if kind == CONTROL]
    assert special == ["<|endoftext|>", "<|user|>", "<|assistant|>", "<|end|>", *settings.get("special_tokens", [])]
    assert parts.tokens[-2:] == [f"[PAD{tokenizer.vocab_size + place}]" for place in (0, 1)]
    assert parts.types[-3:] == [TEXT, UNUSED, UNUSED]
    back = Tokenizer(from_gguf(parts, "there"))
    assert back.vocab_size == tokenizer.vocab_size and back.special_tokens == tokenizer.special_tokens
    texts = [*probes(), *declarations.values(), *web_texts[:50]]
    assert back.encode_batch(texts) == tokenizer.encode_batch(texts)


@pytest.mark.parametrize(("digits", "pre"), [(None, "llama-bpe"), (1, "qwen2")])
def test_marks_in_words_have_the_nearest_name_and_differ_at_marks_alone(
    digits: int | None, pre: str, trained: Trained, web_texts: list[str], declarations: dict[str, str]
) -> None:
    tokenizer = trained(pattern="gpt4-marks", digits=digits)
    parts = to_gguf(tokenizer.data, tokenizer.vocab_size, "here")
    assert (parts.pre, parts.exact) == (pre, False)
    back = Tokenizer(from_gguf(parts, "there"))
    mark = tokenizers.normalizers.Replace(Regex(r"\p{M}"), "")
    for text in [*probes(), *declarations.values(), *web_texts[:50]]:
        plain = mark.normalize_str(text)
        assert back.encode(plain) == tokenizer.encode(plain)
    assert back.encode(declarations["hin"]) != tokenizer.encode(declarations["hin"])


def cut(*steps: Any) -> Any:
    return pre_tokenizers.Sequence(list(steps))


def test_smollm_cuts_as_its_own_tokenizer_does() -> None:
    """Hugging Face's SmolLM isolates digits, then lets ByteLevel cut with GPT-2's expression."""
    theirs = cut(pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False))
    ours = cut(
        pre_tokenizers.Split(Regex(REGEXES["smollm"]), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    )
    for text in probes():
        assert ours.pre_tokenize_str(text) == theirs.pre_tokenize_str(text), repr(text)
    assert [piece for piece, _ in ours.pre_tokenize_str("in 2024  12")] == [
        "in",
        "Ġ",
        "2",
        "0",
        "2",
        "4",
        "ĠĠ",
        "1",
        "2",
    ]


def test_names_of_other_spellings() -> None:
    level = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
    digits = {"type": "Digits", "individual_digits": True}
    assert name_of(level) == ("gpt-2", True)
    assert name_of({"type": "Sequence", "pretokenizers": [digits, level]}) == ("smollm", True)
    assert name_of({"type": "Sequence", "pretokenizers": [digits | {"individual_digits": False}, level]}) is None
    assert name_of({"type": "Metaspace"}) is None
    assert name_of(None) is None


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"pattern": r"\p{L}+|\s+|\S"}, r"tokenizer\.pattern \\p\{L\}\+"),
        ({"pattern": "gpt2", "digits": 1}, "for which GGUF has no name\n.*gpt2 or gpt4"),
        ({"alphabet": "characters"}, "tokenizer.alphabet: characters.*\n.*--format hf"),
    ],
)
def test_what_gguf_has_no_word_for_is_refused(settings: dict, says: str, trained: Trained) -> None:
    with pytest.raises(InputError, match=says):
        to_gguf(trained(**settings).data, 3000, "here")


def test_parts_that_do_not_fit(trained: Trained) -> None:
    parts = to_gguf(trained(pattern="gpt2").data, 3000, "here")
    for changes, says in (
        ({"pre": "chameleon"}, "there: tokenizer.ggml.pre is 'chameleon'.*\n.*known are gpt-2"),
        ({"types": parts.types[:-1]}, "3000 tokens, but 2999 token types"),
        ({"tokens": [*parts.tokens[:-1], parts.tokens[5]]}, "two of its tokens are the same"),
        ({"types": [*parts.types[:-1], 9]}, "or of an unknown type"),
        ({"merges": [*parts.merges, "a"]}, "merge .* is 'a', not a pair"),
        ({"merges": [*parts.merges, "zq qz"]}, "has no token 'zq'"),
    ):
        with pytest.raises(InputError, match=says):
            from_gguf(replace(parts, **changes), "there")


def test_added_tokens_that_are_not_special_are_text(trained: Trained) -> None:
    parts = to_gguf(trained(pattern="gpt2").data, 3001, "here")
    tokens, types = [*parts.tokens[:-1], "<think> é"], [*parts.types[:-1], ADDED]
    made = Tokenizer(from_gguf(replace(parts, tokens=tokens, types=types), "there"))
    assert "<think> é" not in made.special_tokens
    assert made.encode("a<think> é")[-1] == 3000
    assert made.decode(made.encode("a<think> é")) == "a<think> é"
    again = to_gguf(json.dumps(json.loads(made.data)).encode(), 3001, "here")
    assert (again.tokens[-1], again.types[-1]) == ("<think> é", ADDED)


def test_regexes_are_the_ones_of_the_patterns() -> None:
    assert REGEXES["gpt-2"] == regex_of("gpt2") and REGEXES["llama-bpe"] == regex_of("gpt4", 3)
