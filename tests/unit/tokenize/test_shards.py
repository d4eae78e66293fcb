"""Shards: what is written comes back, mapped; broken files and other tokenizers are found out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from crawl2chat.core.errors import ContractError, InputError
from crawl2chat.core.manifest import Manifest
from crawl2chat.tokenize.bpe import Tokenizer
from crawl2chat.tokenize.encode import encode_documents, token_type
from crawl2chat.tokenize.shards import check_tokenizer, read_shard, write_shard
from crawl2chat.tokenize.train import train_tokenizer

TEXTS = ["the first text", "", "two\n\nlines 漢字", "<|endoftext|> spelled"]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer(train_tokenizer([TEXTS * 9], 300))


def write(path: Path, tokenizer: Tokenizer) -> None:
    tokens, counts = encode_documents(tokenizer, TEXTS)
    write_shard(path, ["a", "b", "c", "d"], tokens, counts, tokenizer, "train")


def test_round_trip_without_copying(tokenizer: Tokenizer, tmp_path: Path) -> None:
    write(tmp_path / "s.arrow", tokenizer)
    shard = read_shard(tmp_path / "s.arrow")
    assert shard.doc_ids.to_pylist() == ["a", "b", "c", "d"]
    assert shard.tokens.dtype == np.uint16 and shard.offsets.dtype == np.int64
    assert not shard.tokens.flags.owndata and not shard.tokens.flags.writeable
    documents = [shard.tokens[a:b] for a, b in zip(shard.offsets[:-1], shard.offsets[1:], strict=True)]
    assert [tokenizer.decode(one.tolist()) for one in documents] == TEXTS
    assert all((one == 0).tolist() == [False] * (len(one) - 1) + [True] for one in documents)
    assert shard.metadata == {
        **{"split": "train", "tokenizer_digest": tokenizer.digest},
        **{"vocab_size": str(tokenizer.vocab_size), "end_of_text": "0"},
    }


def test_arrow_sees_the_promised_schema(tokenizer: Tokenizer, tmp_path: Path) -> None:
    write(tmp_path / "s.arrow", tokenizer)
    reader = pa.ipc.open_file(tmp_path / "s.arrow")
    assert reader.num_record_batches == 1
    assert [(field.name, str(field.type)) for field in reader.schema] == [
        ("doc_id", "string"),
        ("tokens", "large_list<item: uint16 not null>"),
    ]
    write(tmp_path / "again.arrow", tokenizer)
    assert (tmp_path / "again.arrow").read_bytes() == (tmp_path / "s.arrow").read_bytes()


def test_a_document_without_its_end_is_not_written(tokenizer: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="ends with end-of-text"):
        write_shard(tmp_path / "s.arrow", ["a"], np.array([5, 6], np.uint16), np.array([2]), tokenizer, "train")
    assert not list(tmp_path.iterdir())


def test_broken_shards(tokenizer: Tokenizer, tmp_path: Path) -> None:
    write(tmp_path / "s.arrow", tokenizer)
    whole = (tmp_path / "s.arrow").read_bytes()
    (tmp_path / "cut.arrow").write_bytes(whole[:-40])
    with pytest.raises(InputError, match=r"cut\.arrow is not a token shard"):
        read_shard(tmp_path / "cut.arrow")
    other = pa.table({"x": [1]})
    with pa.ipc.new_file(str(tmp_path / "other.arrow"), other.schema) as writer:
        writer.write_table(other)
    with pytest.raises(InputError, match=r"other\.arrow has 1 batches of the columns \['x'\]"):
        read_shard(tmp_path / "other.arrow")


@pytest.mark.parametrize("vocab, kind", [(300, np.uint16), (65_536, np.uint16), (65_537, np.uint32)])
def test_token_type(vocab: int, kind: type) -> None:
    assert token_type(vocab) == kind


def test_another_tokenizer_is_found_out(tokenizer: Tokenizer) -> None:
    other = Tokenizer(train_tokenizer([TEXTS * 9], 290))
    manifest = Manifest(
        **{"stage": "shards", "version": 1, "config": {}, "fingerprint": "", "inputs": {}, "files": [], "counters": {}},
        **{"facts": {"tokenizer_digest": tokenizer.digest}, "code_version": "", "seconds": 0},
    )
    check_tokenizer(manifest, tokenizer)
    with pytest.raises(ContractError) as caught:
        check_tokenizer(manifest, other)
    assert tokenizer.digest in caught.value.message and other.digest in caught.value.message
