"""The tokenizer on real text and on everything that is unlike it."""

from __future__ import annotations

import gzip
import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from crawl2chat.core.errors import InputError
from crawl2chat.tokenize.bpe import ASSISTANT, END, END_OF_TEXT, SPECIAL_TOKENS, USER, Tokenizer
from crawl2chat.tokenize.train import train_tokenizer

ODD = [
    "",
    " ",
    "\x00\x01\x7f\r\n\r\n\t\t  x",
    "東京都 हिन्दी עברית ภาษาไทย 😀👩‍👩‍👧 e\u0301 \ufeff\u2028",
    "1234567890 3.14159 don't WE'LL x²",
    "a<|endoftext|>b<|user|><|assistant|> <|end|>\n<|endoftext|>",
    "".join(chr(point) for point in range(0x20, 0x2000)),
    "x" * 5000,
]


@pytest.fixture(scope="module")
def data(shared_data: Path) -> bytes:
    text = gzip.decompress((shared_data / "text" / "tinyshakespeare.txt.gz").read_bytes()).decode()
    return train_tokenizer([[text]], 1000)


@pytest.fixture(scope="module")
def tokenizer(data: bytes) -> Tokenizer:
    return Tokenizer(data)


def test_every_text_comes_back(tokenizer: Tokenizer) -> None:
    assert [tokenizer.decode(tokenizer.encode(text)) for text in ODD] == ODD
    assert tokenizer.encode_batch(ODD) == [tokenizer.encode(text) for text in ODD]


def test_spelled_special_tokens_are_text(tokenizer: Tokenizer) -> None:
    assert [tokenizer.special(name) for name in (END_OF_TEXT, USER, ASSISTANT, END)] == [0, 1, 2, 3]
    assert tokenizer.end_of_text == 0
    for special in SPECIAL_TOKENS:
        for text in (special, f"a{special}b", f"{special}{special}", f" {special}\n"):
            assert min(tokenizer.encode(text)) > 3
            assert min(tokenizer.encode_batch([text])[0]) > 3
            assert tokenizer.decode(tokenizer.encode(text)) == text


def test_special_ids_stand_for_no_text(tokenizer: Tokenizer) -> None:
    ids = [tokenizer.special(USER), *tokenizer.encode("hi"), tokenizer.special(END), tokenizer.end_of_text]
    assert tokenizer.decode(ids) == "hi"


def test_bytes_of_tokens(tokenizer: Tokenizer) -> None:
    sizes = tokenizer.token_bytes()
    assert sizes.dtype == np.int32 and sizes.shape == (tokenizer.vocab_size,)
    assert sizes[:4].tolist() == [0, 0, 0, 0] and sizes[4:].min() == 1
    singles = {tokenizer.decode_bytes([index]) for index in range(4, 260)}
    assert singles == {bytes([byte]) for byte in range(256)}
    for text in ODD:
        assert sizes[tokenizer.encode(text)].sum() == len(text.encode())


def test_broken_utf8_is_shown_and_parts_of_characters_join(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("漢")
    assert len(ids) == 3
    assert tokenizer.decode(ids[:1]) == "\ufffd"
    assert b"".join(tokenizer.decode_bytes([one]) for one in ids).decode() == "漢"


def test_digest_and_pickle(tokenizer: Tokenizer, data: bytes, tmp_path: Path) -> None:
    assert tokenizer.digest == hashlib.sha256(data).hexdigest()
    (tmp_path / "tokenizer.json").write_bytes(data)
    for other in (pickle.loads(pickle.dumps(tokenizer)), Tokenizer.load(tmp_path / "tokenizer.json")):
        assert other.digest == tokenizer.digest
        assert other.encode(ODD[5]) == tokenizer.encode(ODD[5])


def test_other_libraries_know_the_special_tokens(data: bytes, tokenizer: Tokenizer, tmp_path: Path) -> None:
    plain = tokenizers.Tokenizer.from_buffer(data)
    assert plain.encode("<|user|>").ids == [1]
    assert plain.encode(ODD[3]).ids == tokenizer.encode(ODD[3])
    assert plain.decode(plain.encode(ODD[3]).ids) == ODD[3]
    transformers = pytest.importorskip("transformers")
    (tmp_path / "tokenizer.json").write_bytes(data)
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    assert theirs("hello<|end|>")["input_ids"] == [*tokenizer.encode("hello"), 3]
    assert theirs.convert_tokens_to_ids(list(SPECIAL_TOKENS)) == [0, 1, 2, 3]


def test_files_that_are_no_tokenizer_of_ours(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no tokenizer at"):
        Tokenizer.load(tmp_path / "absent.json")
    (tmp_path / "broken.json").write_text('{"model": ')
    with pytest.raises(InputError, match=r"broken\.json is not a tokenizer"):
        Tokenizer.load(tmp_path / "broken.json")
    (tmp_path / "foreign.json").write_text(tokenizers.Tokenizer(tokenizers.models.BPE()).to_str())
    with pytest.raises(InputError, match=r"foreign\.json has no special token <\|endoftext\|>"):
        Tokenizer.load(tmp_path / "foreign.json")
