from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from crawl2chat.core.errors import InputError
from crawl2chat.train.loader import TokenDataset, TokenStream
from crawl2chat.train.loop import Plan, batch_indices
from crawl2chat.train.prefetch import rank_batch

CONTEXT = 16


def rows_of(data: TokenDataset, indices: np.ndarray) -> np.ndarray:
    """Inputs and the last target: [n, context + 1]."""
    inputs, targets = data.batch(indices)
    return np.concatenate([inputs, targets[:, -1:]], axis=1)


def test_rows_are_windows_of_the_concatenated_stream(shards: list[Path], documents: list[list[list[int]]]) -> None:
    stream = [token for file in documents for document in file for token in document]
    data = TokenDataset(list(reversed(shards)), CONTEXT)  # names decide the order, not the caller
    assert len(data) == (len(stream) - 1) // CONTEXT
    rows = rows_of(data, np.arange(len(data)))
    for number, row in enumerate(rows):
        assert row.tolist() == stream[number * CONTEXT : (number + 1) * CONTEXT + 1]
    inputs, targets = data.batch(np.array([3, 1]))
    assert inputs.tolist() == rows[[3, 1], :-1].tolist() and targets.tolist() == rows[[3, 1], 1:].tolist()


def test_trace_gives_the_documents_of_every_token(shards: list[Path], documents: list[list[list[int]]]) -> None:
    data = TokenDataset(shards, CONTEXT)
    named = {
        f"{path.stem}/{i}": doc for path, file in zip(shards, documents, strict=True) for i, doc in enumerate(file)
    }
    for number in range(len(data)):
        spans = data.trace(number)
        traced = [token for span in spans for token in named[span.doc_id][span.start : span.stop]]
        assert traced == rows_of(data, np.array([number]))[0].tolist()
        for span in spans:
            assert span.doc_id == f"{span.file.removesuffix('.arrow')}/{span.row}"


def test_any_number_of_ranks_sees_the_same_global_batches(shards: list[Path]) -> None:
    data = TokenDataset(shards, CONTEXT)
    plan = Plan(steps=40, batch=8, seed=3)  # 40 steps pass the end of an epoch
    assert plan.steps * plan.batch > len(data)
    for step in range(1, plan.steps + 1):
        indices = batch_indices(plan, step, data)
        inputs, targets = data.batch(indices)
        for size in (1, 2, 4):
            parts = [part for rank in range(size) for part in rank_batch(data, step, indices, rank, size, 2).parts]
            assert np.array_equal(np.concatenate([part for part, _ in parts]), inputs)
            assert np.array_equal(np.concatenate([part for _, part in parts]), targets)


def test_memory_is_mapped_not_copied(shards: list[Path]) -> None:
    before = pa.total_allocated_bytes()
    stream = TokenStream(shards)
    assert len(stream) > 0 and pa.total_allocated_bytes() - before < 1000


def test_too_few_tokens_is_an_error_that_names_the_context(shards: list[Path]) -> None:
    with pytest.raises(InputError, match=r"model\.context = 100000"):
        TokenDataset(shards, 100_000)


def test_a_damaged_shard_is_named(shards: list[Path]) -> None:
    shards[1].write_bytes(shards[1].read_bytes()[:-20])
    with pytest.raises(InputError, match=shards[1].name):
        TokenDataset(shards, CONTEXT)


def test_a_table_of_other_columns_is_refused(shards: list[Path]) -> None:
    table = pa.table({"text": ["x"]})
    with pa.ipc.new_file(str(shards[0]), table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(InputError, match="'text'"):
        TokenDataset(shards, CONTEXT)


@pytest.mark.parametrize("kind", [np.uint16, np.uint32])
def test_windows_go_over_any_number_of_files_and_their_borders(tmp_path: Path, kind: type) -> None:
    rng = np.random.default_rng(1)
    lengths = [5, 1, 0, 40, 2, 3, 30]
    files = [rng.integers(0, np.iinfo(kind).max, length).astype(kind) for length in lengths]
    paths = []
    for number, tokens in enumerate(files):
        lists = pa.LargeListArray.from_arrays(pa.array([0, len(tokens)], pa.int64()), pa.array(tokens))
        paths.append(tmp_path / f"s-{number:05d}.arrow")
        batch = pa.RecordBatch.from_arrays([pa.array(["x"]), lists], names=["doc_id", "tokens"])
        with pa.ipc.new_file(str(paths[-1]), batch.schema) as writer:
            writer.write_batch(batch)
    stream, tokens = TokenStream(paths), np.concatenate(files).astype(np.int64)
    starts = np.arange(len(tokens) - 12)
    inputs, targets = stream.windows(starts, 12)
    for start in starts.tolist():
        assert np.array_equal(inputs[start], tokens[start : start + 12])
        assert np.array_equal(targets[start], tokens[start + 1 : start + 13])
    for outside in (-1, len(tokens) - 12):
        with pytest.raises(AssertionError):
            stream.windows(np.array([outside]), 12)


def test_shards_of_two_token_types_are_refused(shards: list[Path]) -> None:
    table = pa.table({"doc_id": ["x"], "tokens": pa.array([[1, 2]], pa.large_list(pa.uint32()))}).combine_chunks()
    with pa.ipc.new_file(str(shards[0]), table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(InputError, match=r"'uint16', 'uint32'"):
        TokenDataset(shards, CONTEXT)
