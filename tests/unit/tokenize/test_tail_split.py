"""The split by `tail`: the last part of every document validates, the rest trains, nothing is lost or in both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from crawl2chat.core.units import Unit
from crawl2chat.tokenize import unit_work
from crawl2chat.tokenize.bpe import Tokenizer
from crawl2chat.tokenize.shards import read_shard
from crawl2chat.tokenize.train import train_tokenizer

TEXTS = {"a": "0123456789" * 10, "b": "x", "c": "ä漢" * 25}


@pytest.fixture
def shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The two splits as documents' texts, for a share."""
    (tmp_path / "tokenizer.json").write_bytes(train_tokenizer([list(TEXTS.values())], 260))
    tokenizer = Tokenizer.load(tmp_path / "tokenizer.json")
    batch = pa.RecordBatch.from_pydict({"doc_id": list(TEXTS), "text": list(TEXTS.values())})
    monkeypatch.setattr(unit_work, "_batches", lambda unit, config, columns: iter([batch]))

    def run(share: float) -> tuple[dict[str, int], dict[str, dict[str, str]]]:
        config = {"tokenizer": str(tmp_path / "tokenizer.json"), "tail": share}
        report = unit_work.shard_unit(Unit(name="u"), tmp_path, config)
        found: dict[str, dict[str, str]] = {}
        for split in ("train", "validation"):
            read = read_shard(tmp_path / split / "u.arrow")
            pieces = [read.tokens[a:b].tolist() for a, b in zip(read.offsets[:-1], read.offsets[1:], strict=True)]
            texts = [tokenizer.decode(one) for one in pieces]
            found[split] = dict(zip(read.doc_ids.to_pylist(), texts, strict=True))
            assert report.counters[f"tokens_{split}"] == sum(map(len, pieces))
        return report.counters, found

    return run


def test_a_tenth(shard: Any) -> None:
    counters, found = shard(0.1)
    assert found["train"] == {"a": TEXTS["a"][:90], "c": TEXTS["c"][:45]}
    assert found["validation"] == {"a": TEXTS["a"][90:], "b": "x", "c": TEXTS["c"][45:]}
    assert counters["documents"] == 3
    assert counters["bytes_train"] + counters["bytes_validation"] == sum(len(text.encode()) for text in TEXTS.values())


def test_a_vocabulary_of_bytes_alone(shard: Any) -> None:
    _, found = shard(0.5)
    assert {name: found["train"].get(name, "") + found["validation"][name] for name in TEXTS} == TEXTS
    assert Tokenizer(train_tokenizer([["aaaa aaaa"]], 260)).vocab_size == 260
