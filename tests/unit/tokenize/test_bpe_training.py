"""Training is a function of the texts, and cuts them where it says."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from crawl2chat.tokenize.bpe import Tokenizer
from crawl2chat.tokenize.train import train_tokenizer


@pytest.fixture(scope="module")
def texts(shared_data: Path) -> list[str]:
    data = gzip.decompress((shared_data / "web-text-samples" / "c4_demo_300.jsonl.gz").read_bytes())
    return [json.loads(line)["text"] for line in data.splitlines()]


def test_same_bytes_in_any_order_and_batches(texts: list[str]) -> None:
    one = train_tokenizer([texts], 1500)
    assert Tokenizer(one).vocab_size == 1500
    assert train_tokenizer(([text] for text in reversed(texts)), 1500) == one


def test_same_bytes_in_another_process_on_one_thread(texts: list[str], tmp_path: Path) -> None:
    (tmp_path / "texts.json").write_text(json.dumps(texts))
    program = (
        "import json, sys; from crawl2chat.tokenize.train import train_tokenizer\n"
        "sys.stdout.buffer.write(train_tokenizer([json.load(open(sys.argv[1]))], 1500))"
    )
    environment = {**os.environ, "RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, "-c", program, str(tmp_path / "texts.json")]
    other = subprocess.run(command, env=environment, capture_output=True, check=True, cwd=tmp_path).stdout
    assert other == train_tokenizer([texts], 1500)


def test_no_token_crosses_a_piece(texts: list[str]) -> None:
    tokenizer = Tokenizer(train_tokenizer([[*texts, "123456 " * 500, "end of. The " * 500, "x\n\ny " * 500]], 2000))
    tokens = [tokenizer.decode([index]) for index in range(4, tokenizer.vocab_size)]
    assert max(sum(c.isdigit() for c in token) for token in tokens) == 3
    for token in tokens:
        assert not any(c == " " for c in token[1:]) or token.isspace(), f"{token!r} has a space inside"
        assert not (any(c.isalpha() for c in token) and any(c.isdigit() for c in token)), token
    assert " the" in tokens


def test_little_text_gives_a_smaller_vocabulary() -> None:
    tokenizer = Tokenizer(train_tokenizer([["ab ab"]], 2000))
    assert tokenizer.vocab_size == 262  # 4 special tokens, 256 bytes, "ab", " ab"
    assert Tokenizer(train_tokenizer([], 2000)).vocab_size == 260


def test_spelled_special_tokens_are_not_learnt() -> None:
    tokenizer = Tokenizer(train_tokenizer([["<|user|> hello <|end|>"] * 1000], 400))
    assert min(tokenizer.encode("<|user|> hello <|end|>")) > 3
    assert [tokenizer.special(name) for name in ("<|endoftext|>", "<|end|>")] == [0, 3]
