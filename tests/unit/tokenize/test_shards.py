"""Shards: what is written comes back, mapped; broken files and other tokenizers are found out."""

from __future__ import annotations

import subprocess
import sys
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


NO_ROOM = """
import resource, sys
from pathlib import Path
import numpy as np
from crawl2chat.core.errors import InputError
from crawl2chat.tokenize.bpe import Tokenizer
from crawl2chat.tokenize.shards import read_shard, write_shard
from crawl2chat.tokenize.train import train_tokenizer

tokenizer = Tokenizer(train_tokenizer([["some text"]], 300))
path = Path(sys.argv[1])
tokens = np.full(64 << 20, tokenizer.end_of_text, np.uint16)
write_shard(path, ["a"], tokens, np.array([len(tokens)]), tokenizer, "train")
pages = int(Path("/proc/self/statm").read_text().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (16 << 20),) * 2)
try:
    read_shard(path)
except InputError as error:
    print(error.message, "|", error.fix)
"""


def test_where_no_more_files_can_be_mapped_the_shard_is_not_blamed(tmp_path: Path) -> None:
    """Linux lets a process map 65,530 files; that is said, and not that the stage must run again."""
    command = [sys.executable, "-c", NO_ROOM, str(tmp_path / "s.arrow")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert "s.arrow cannot be mapped beside the shards that are" in done.stdout, done.stdout + done.stderr
    assert "vm.max_map_count" in done.stdout and "not a token shard" not in done.stdout
