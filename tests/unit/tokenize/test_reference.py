"""The readable BPE and the tokenizers library learn the same merges and give the same ids."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from crawl2chat.core.settings_tokenizer import Tokenizer as Settings
from crawl2chat.tokenize.bpe import SPECIAL_TOKENS, Tokenizer
from crawl2chat.tokenize.probes import SENTENCES
from crawl2chat.tokenize.reference import ReferenceBPE, bytes_in_order, train
from crawl2chat.tokenize.train import train_tokenizer
from crawl2chat.tokenize.vocabulary import read_vocabulary


@pytest.fixture(scope="module")
def shakespeare(shared_data: Path) -> str:
    return gzip.decompress((shared_data / "text" / "tinyshakespeare.txt.gz").read_bytes()).decode()[:200_000]


def both(texts: list[str], size: int, pattern: str) -> tuple[ReferenceBPE, bytes]:
    theirs = train_tokenizer([texts], size, Settings(pattern=pattern))
    return train(texts, size, pattern, SPECIAL_TOKENS), theirs


def assert_same(ours: ReferenceBPE, theirs: bytes, texts: list[str]) -> None:
    vocabulary = read_vocabulary(theirs)
    assert ours.tokens == vocabulary.tokens
    assert [(*pair, both) for pair, both in ours.merges.items()] == [tuple(row) for row in vocabulary.merges.tolist()]
    tokenizer = Tokenizer(theirs)
    for text in texts:
        ids = ours.encode(text)
        assert ids == tokenizer.encode(text)
        assert ours.decode(ids) == text


@pytest.mark.parametrize("pattern", ["gpt2", "gpt4", "gpt4-marks", r"\p{L}+|\s"])
def test_same_merges_and_ids_on_english(shakespeare: str, pattern: str) -> None:
    ours, theirs = both([shakespeare], 900, pattern)
    assert len(ours.tokens) == 900
    assert_same(ours, theirs, [shakespeare[:5000], *SENTENCES])


def test_same_merges_and_ids_in_many_languages(declarations: dict[str, str]) -> None:
    texts = [text[:4000] for text in declarations.values()]
    ours, theirs = both(texts, 1200, "gpt4-marks")
    assert_same(ours, theirs, [*SENTENCES, *texts])


@pytest.mark.parametrize(
    "text", ["ab cd ef gh ij", "aaaaaaa aaaa aaa", "abc bcd cde abc bcd", "xyxyxy yxyxyx", "ab", "", "a b c"]
)
def test_ties_are_broken_alike_to_the_last_pair(text: str) -> None:
    """So little text has hardly anything but ties; both stop when no pair is left."""
    ours, theirs = both([text], 400, "gpt4")
    assert_same(ours, theirs, [text, "abcxyz aaaaaaaaaaa"])
    assert len(ours.tokens) < 290


def test_all_ties_in_a_real_text(web_texts: list[str]) -> None:
    """Down to pairs that occur twice or once, of which there are thousands."""
    text = " ".join(web_texts[3:5])[:3000]
    ours, theirs = both([text], 3000, "gpt4")
    assert_same(ours, theirs, [text])
    assert len(ours.merges) > 600


def test_the_library_sorts_its_bytes_so(shakespeare: str) -> None:
    vocab = json.loads(train_tokenizer([[shakespeare]], 300))["model"]["vocab"]
    singles = sorted((index, token) for token, index in vocab.items() if len(token) == 1)
    tokens = read_vocabulary(train_tokenizer([[shakespeare]], 300)).tokens
    assert [tokens[index][0] for index, _ in singles] == bytes_in_order()
