"""Writing a shard takes the memory of a batch, and some bytes a document: tokens wait on disk, be they ever so many."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crawl2chat.core.documents import BATCH_ROWS
from crawl2chat.core.schema import DOCUMENT
from crawl2chat.core.units import Unit
from crawl2chat.tokenize.bpe import Tokenizer
from crawl2chat.tokenize.compiled_encoder import CompiledEncoder
from crawl2chat.tokenize.shard_writer import ShardWriter
from crawl2chat.tokenize.shards import read_shard
from crawl2chat.tokenize.train import train_tokenizer
from crawl2chat.tokenize.unit_work import shard_unit

ROWS, TOKENS = 100, 500  # of a batch, of a document
DOCUMENT_BYTES = 50  # that may stay in memory for each; its tokens are 1,000


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    made = Tokenizer(train_tokenizer([["0 1 2 3 4 5 6 7 8 9"] * 9], 260))  # no merges: a digit is a token
    assert made.encoder.name == "compiled"
    return made


@pytest.fixture
def arrows() -> Iterator[pa.MemoryPool]:
    """Arrow's memory, counted from here."""
    before = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(before)
    pa.set_memory_pool(pool)
    yield pool
    pa.set_memory_pool(before)


def most_held(path: Path, tokenizer: Tokenizer, batches: int, arrows: pa.MemoryPool) -> int:
    """Bytes in memory at the worst moment of writing so many batches: of Python and NumPy, and of Arrow."""
    texts = ["7" * (TOKENS - 1)] * ROWS
    tracemalloc.start()
    try:
        with ShardWriter(path, tokenizer, "train") as writer:
            for number in range(batches):
                ids = [f"{number:04d}{row:04d}" for row in range(ROWS)]
                writer.add(pa.RecordBatch.from_pydict({"doc_id": ids, "text": texts}))
            assert writer.finish()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(read_shard(path).tokens) == batches * ROWS * TOKENS
    return peak + (arrows.max_memory() or 0)


def test_more_batches_take_no_more_memory_but_for_ids_and_counts(
    tokenizer: Tokenizer, arrows: pa.MemoryPool, tmp_path: Path
) -> None:
    most_held(tmp_path / "first.arrow", tokenizer, 2, arrows)  # what is made once in a process
    few = most_held(tmp_path / "few.arrow", tokenizer, 4, arrows)
    many = most_held(tmp_path / "many.arrow", tokenizer, 40, arrows)
    assert many - few < 36 * ROWS * DOCUMENT_BYTES


def test_a_unit_is_encoded_by_batches_and_flushed_before_the_next(
    tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 3 * BATCH_ROWS + 7
    fixed = {"source": "web", "title": "", "date": "", "lang": "en", "lang_score": 1.0, "url": "u", "origin_file": "x"}
    rows = [{**fixed, "doc_id": f"{n:06d}", "text": "7" * 99, "origin_offset": n} for n in range(count)]
    (tmp_path / "documents").mkdir()
    pq.write_table(pa.Table.from_pylist(rows, schema=DOCUMENT), tmp_path / "documents" / "web-00000.parquet")
    (tmp_path / "tokenizer.json").write_bytes(tokenizer.__reduce__()[1][0])
    seen: list[tuple[int, int, int]] = []  # rows of a call, tokens of all calls before, bytes on disk then
    encode = CompiledEncoder.encode

    def watched(self: CompiledEncoder, data: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        on_disk = sum(path.stat().st_size for path in tmp_path.glob("*/.*.tokens.*.partial"))
        seen.append((len(offsets) - 1, sum(one[0] for one in seen) * 100, on_disk))
        return encode(self, data, offsets)

    monkeypatch.setattr(CompiledEncoder, "encode", watched)
    config = {"extract": str(tmp_path), "stages": [], "tokenizer": str(tmp_path / "tokenizer.json"), "cut": 1 << 51}
    report = shard_unit(Unit(name="web-00000"), tmp_path, config)
    assert report.counters["documents"] == sum(one[0] for one in seen) == count
    assert 0 < report.counters["documents_validation"] < report.counters["documents_train"]
    assert max(one[0] for one in seen) <= BATCH_ROWS
    for _, tokens, on_disk in seen:
        assert 2 * tokens - on_disk <= 2 * io.DEFAULT_BUFFER_SIZE  # of the files of both splits
