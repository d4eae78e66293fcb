"""What the recipe's settings make of a vocabulary; and that transformers reads it as it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from crawl2chat.core.errors import InputError
from crawl2chat.core.settings_tokenizer import Tokenizer as Settings
from crawl2chat.tokenize.bpe import Tokenizer
from crawl2chat.tokenize.probes import SENTENCES, probes
from crawl2chat.tokenize.train import frequent_characters, train_tokenizer

Make = Callable[..., Tokenizer]
ALL = [
    {"pattern": "gpt2"},
    {"pattern": "gpt4", "digits": 1},
    {"pattern": "gpt4-marks", "special_tokens": ("<|tool|>", "<|system|>")},
    {"pattern": r"\p{L}+|\p{N}|\s+"},
    {"pattern": "gpt4-marks", "alphabet": "characters", "character_coverage": 0.98},
]


@pytest.mark.parametrize("settings", ALL, ids=str)
def test_transformers_loads_it_unchanged_with_the_same_ids(
    trained: Make, declarations: dict[str, str], tmp_path: Path, settings: dict
) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer = trained(**settings)
    path = tmp_path / "tokenizer.json"
    path.write_bytes(tokenizer.__reduce__()[1][0])
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_file=str(path))
    texts = [text for text in (*SENTENCES, *declarations.values()) if "<|" not in text]  # these it looks for
    assert theirs(texts)["input_ids"] == [tokenizer.encode(text) for text in texts]
    assert len(theirs) == tokenizer.vocab_size
    assert theirs.decode(theirs(texts[4])["input_ids"]) == texts[4]


@pytest.mark.parametrize("settings", ALL, ids=str)
def test_every_text_comes_back(trained: Make, settings: dict) -> None:
    tokenizer, texts = trained(**settings), probes()
    assert [tokenizer.decode(tokenizer.encode(text)) for text in texts] == texts
    sizes = tokenizer.token_bytes()
    for text in texts:
        assert sizes[tokenizer.encode(text)].sum() == len(text.encode())


def test_own_special_tokens_come_behind_the_four(trained: Make) -> None:
    tokenizer = trained(pattern="gpt4-marks", special_tokens=("<|tool|>", "<|system|>"))
    assert tokenizer.special_tokens == {
        **{"<|endoftext|>": 0, "<|user|>": 1, "<|assistant|>": 2, "<|end|>": 3, "<|tool|>": 4, "<|system|>": 5}
    }
    assert tokenizer.special("<|tool|>") == 4
    assert tokenizer.decode([4, 5]) == ""
    assert min(tokenizer.encode("<|tool|><|system|>")) > 5
    assert tokenizer.vocab_size == 3000


def test_digits(trained: Make) -> None:
    def numbers(**settings: object) -> int:
        tokenizer = trained(**settings)
        tokens = [tokenizer.decode([index]) for index in range(4, tokenizer.vocab_size)]
        return max(sum(map(str.isdigit, token)) for token in tokens)

    assert numbers(pattern="gpt4", digits=1) == numbers(pattern="gpt2", digits=1) == 1
    assert numbers(pattern="gpt4") == 3
    assert numbers(pattern="gpt2") > 3
    assert (
        "".join(
            trained(pattern="gpt4", digits=1).decode([one]) for one in trained(pattern="gpt4", digits=1).encode("1234")
        )
        == "1234"
    )
    assert len(trained(pattern="gpt4", digits=1).encode("1234")) == 4


def test_rare_characters_are_spelled_in_bytes(trained: Make) -> None:
    settings = {"pattern": "gpt4-marks", "alphabet": "characters", "character_coverage": 0.98}
    tokenizer = trained(**settings)
    described = json.loads(tokenizer.__reduce__()[1][0])
    assert described["model"]["byte_fallback"] is True
    assert [one["content"] for one in described["added_tokens"]] == [
        "<|endoftext|>",
        "<|user|>",
        "<|assistant|>",
        "<|end|>",
    ]
    ids = tokenizer.encode("ᏣᎳᎩ")
    assert [tokenizer.decode_bytes([one]) for one in ids] == [bytes([byte]) for byte in "ᏣᎳᎩ".encode()]
    assert len(tokenizer.encode("und")) == 1
    assert tokenizer.decode(tokenizer.encode("<0x41>")) == "<0x41>"


def test_characters_of_a_coverage() -> None:
    texts = [["aaaa", "bbb"], ["cd"]]
    assert frequent_characters(texts, 0.7) == ["a", "b"]
    assert frequent_characters(texts, 0.5) == ["a", "b"]
    assert frequent_characters(texts, 0.4) == ["a"]
    assert frequent_characters(texts, 1.0) == ["a", "b", "c", "d"]
    assert frequent_characters([], 1.0) == []


def test_more_characters_than_tokens() -> None:
    texts = [["".join(map(chr, range(0x4E00, 0x4E00 + 200)))]]
    settings = Settings(alphabet="characters", character_coverage=1.0)
    with pytest.raises(InputError, match=r"vocab_size is 300, .* 200 characters are 460[\s\S]*character_coverage"):
        train_tokenizer(texts, 300, settings)


def test_a_text_that_learns_a_bytes_name_is_refused() -> None:
    settings = Settings(alphabet="characters", pattern=r"\S+|\s+")
    with pytest.raises(InputError, match=r"spells <0x41> so often"):
        train_tokenizer([["<0x41> " * 500]], 400, settings)
