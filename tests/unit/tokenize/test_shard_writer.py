"""A shard written batch by batch has the bytes of one written at once, and leaves nothing behind."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from crawl2chat.tokenize.bpe import Tokenizer
from crawl2chat.tokenize.encode import encode_documents
from crawl2chat.tokenize.shard_writer import ShardWriter
from crawl2chat.tokenize.shards import read_shard, write_shard
from crawl2chat.tokenize.train import train_tokenizer

TEXTS = ["the first text", "", "two\n\nlines 漢字", "<|endoftext|> spelled", "é" * 50]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer(train_tokenizer([TEXTS * 9], 300))


def batch(begin: int, end: int) -> pa.RecordBatch:
    ids = [f"id{number}" for number in range(begin, end)]
    return pa.RecordBatch.from_pydict({"doc_id": ids, "text": pa.array(TEXTS[begin:end], pa.large_string())})


def test_same_bytes_in_any_batches(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokens, counts = encode_documents(tokenizer, TEXTS)
    write_shard(tmp_path / "whole.arrow", [f"id{n}" for n in range(5)], tokens, counts, tokenizer, "train")
    for cuts in ([0, 5], [0, 1, 1, 4, 5]):
        with ShardWriter(tmp_path / "parts.arrow", tokenizer, "train") as writer:
            for begin, end in pairwise(cuts):
                writer.add(batch(begin, end))
            assert writer.finish()
        assert (tmp_path / "parts.arrow").read_bytes() == (tmp_path / "whole.arrow").read_bytes()
        size = sum(len(text.encode()) for text in TEXTS)
        assert writer.counters() == {"documents": 5, "tokens": len(tokens), "bytes": size}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["parts.arrow", "whole.arrow"]


def test_without_documents_there_is_no_shard(tokenizer: Tokenizer, tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "s.arrow", tokenizer, "train") as writer:
        writer.add(batch(0, 0))
        assert not writer.finish()
    assert not list(tmp_path.iterdir())


def test_tokens_wait_on_disk_and_go_when_it_fails(tokenizer: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), ShardWriter(tmp_path / "s.arrow", tokenizer, "train") as writer:
        writer.add(batch(0, 5))
        writer._file.flush()
        [waiting] = tmp_path.iterdir()
        assert waiting.name.startswith(".") and waiting.name.endswith(".partial")
        assert np.fromfile(waiting, np.uint16).tolist() == encode_documents(tokenizer, TEXTS)[0].tolist()
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_documents_of_one_token_of_end_only(tokenizer: Tokenizer, tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "s.arrow", tokenizer, "validation") as writer:
        writer.add(batch(1, 2))
        assert writer.finish()
    shard = read_shard(tmp_path / "s.arrow")
    assert shard.tokens.tolist() == [tokenizer.end_of_text] and shard.offsets.tolist() == [0, 1]
