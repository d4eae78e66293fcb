"""jsonl, parquet and Arrow: the column map, and each kind of broken row."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crawl2chat.core.errors import InputError
from crawl2chat.core.settings_data import TableSource
from crawl2chat.pipelines.sources.records import Item, Loss, RawRecord
from crawl2chat.pipelines.sources.table import read_arrow, read_jsonl, read_parquet, row_groups
from pyarrow import feather


def table(kind: str, **columns: str) -> TableSource:
    return TableSource.model_validate({"kind": kind, "name": "t", "paths": ["x"], **columns})


def jsonl(data: bytes, max_bytes: int = 1000, **columns: str) -> list[Item]:
    return list(read_jsonl(io.BytesIO(data), table("jsonl", **columns), max_bytes))


def parquet(data: bytes, **columns: str) -> list[Item]:
    return list(read_parquet(io.BytesIO(data), "x.parquet", table("parquet", **columns), 1000))


def written(rows: dict[str, Any], group: int = 100) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(rows), buffer, row_group_size=group, compression="none")
    return buffer.getvalue()


def test_columns_are_mapped() -> None:
    row = {"body": "hello", "link": "http://a.test/", "head": "T", "when": "2024-01-01", "more": 1}
    (found,) = jsonl(json.dumps(row).encode(), text="body", url="link", title="head", date="when")
    assert found == RawRecord(1, "1", "http://a.test/", "T", "2024-01-01", text="hello")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"text": "cut', "bad_json"),
        (b'["text"]', "bad_json"),
        (b"[" * 100_000, "too_large"),
        (b"[" * 900, "bad_json"),
        (b'{"text": "\xff"}', "bad_utf8"),
        (b'{"other": 1}', "missing_text"),
        (b'{"text": null}', "missing_text"),
        (b'{"text": 5}', "text_not_string"),
        (b'{"text": "' + b"x" * 5000 + b'"}', "too_large"),
    ],
)
def test_a_broken_line_is_one_loss_with_its_number(line: bytes, reason: str) -> None:
    good = b'{"text": "good"}'
    found = jsonl(b"\n".join([good, b"", line, good]))
    assert [item.offset for item in found] == [1, 3, 4]
    assert isinstance(found[1], Loss)
    assert found[1].reason == reason


def test_a_cut_gzip_file_keeps_its_readable_lines(shared_data: Path) -> None:
    data = (shared_data / "web-text-samples" / "c4_demo_300.jsonl.gz").read_bytes()
    assert len(jsonl(data, 1 << 20)) == 300
    found = jsonl(data[: len(data) // 2], 1 << 20)
    assert all(isinstance(item, RawRecord) for item in found[:-1])
    assert len(found) > 100
    assert isinstance(found[-1], Loss)
    assert (found[-1].reason, found[-1].offset) == ("truncated_gzip", len(found))
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 255
    last = jsonl(bytes(flipped), 1 << 20)[-1]
    assert isinstance(last, Loss)
    assert gzip.decompress(data)


def test_parquet_rows_and_missing_texts() -> None:
    found = parquet(written({"text": ["a", None, "c"], "url": ["u", "v", None]}, group=2), url="url")
    assert [item.offset for item in found] == [0, 1, 2]
    assert found[1] == Loss(1, "1", "missing_text", "v", detail="no 'text'")
    assert found[2] == RawRecord(2, "2", "", text="c")


def test_a_broken_row_group_is_one_loss_with_its_number_of_rows() -> None:
    data = bytearray(written({"text": [f"document {n} " * 50 for n in range(30)]}, group=10))
    metadata = pq.ParquetFile(io.BytesIO(bytes(data))).metadata
    start = metadata.row_group(1).column(0).data_page_offset
    assert start is not None
    data[start : start + 30] = b"\xff" * 30
    found = parquet(bytes(data))
    assert [(item.offset, item.reason, item.value) for item in found if isinstance(item, Loss)] == [
        (10, "bad_parquet", 10.0)
    ]
    assert [item.offset for item in found if isinstance(item, RawRecord)] == [*range(10), *range(20, 30)]


def test_a_file_that_is_not_parquet_is_one_loss_and_a_missing_column_an_error() -> None:
    (loss,) = parquet(b"PAR1 no")
    assert isinstance(loss, Loss)
    assert loss.reason == "bad_parquet"
    with pytest.raises(InputError, match=r"sources\.t\.url is 'nope'"):
        parquet(written({"text": ["a"]}), url="nope")


# ── ids, codings, Arrow ──────────────────────────────────────────────────────────────────────────────────────────────


def test_an_id_column_names_the_record_and_must_be_there_once() -> None:
    rows = [{"text": "a", "k": 7}, {"text": "b"}, {"text": "c", "k": "7"}, {"k": "x"}, {"text": "d", "k": "2"}]
    found = jsonl("\n".join(map(json.dumps, rows)).encode(), id="k")
    assert [getattr(item, "place", "") for item in found] == ["id:7", "2!", "3!", "id:x", "id:2"]
    assert [(item.offset, item.reason) for item in found if isinstance(item, Loss)] == [
        (2, "missing_id"), (3, "duplicate_id"), (4, "missing_text"),
    ]  # fmt: skip
    rows_of_parquet = parquet(written({"text": ["a", "b"], "k": [3, 4]}), id="k")
    assert [item.place for item in rows_of_parquet if isinstance(item, RawRecord)] == [
        "id:3", "id:4",
    ]  # fmt: skip


LINES = b"".join(b'{"text": "line %d %d"}\n' % (n, n * 7919 % 1000) for n in range(2000))


@pytest.mark.parametrize("coding", ["zstd", "bz2", "gzip"])
def test_compressed_lines_and_what_is_left_of_cut_and_broken_ones(coding: str) -> None:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, coding) as stream:
        stream.write(LINES)
    data = sink.getvalue().to_pybytes()
    name = {"zstd": "zst"}.get(coding, coding)
    assert [item.offset for item in jsonl(data)] == list(range(1, 2001))
    assert [item.offset for item in jsonl(data + data)] == list(range(1, 4001)), "two frames"
    cut = jsonl(data[: len(data) * 2 // 3])
    assert isinstance(cut[-1], Loss)
    assert cut[-1].reason == f"truncated_{name}"
    broken = bytearray(data)
    broken[len(data) // 2 : len(data) // 2 + 9] = b"\xff" * 9
    found = jsonl(bytes(broken))
    reasons = [item.reason for item in found if isinstance(item, Loss)]
    assert reasons, "nothing is lost without a row"
    assert {f"bad_{name}", f"truncated_{name}", "bad_json", "bad_utf8"} >= set(reasons)


def arrow(data: bytes, **columns: str) -> list[Item]:
    return list(read_arrow(io.BytesIO(data), "x.arrow", table("arrow", **columns), 1000))


def ipc(kind: str, texts: list[str | None], rows: int = 10, **options: Any) -> bytes:
    sink = io.BytesIO()
    batches = pa.table({"n": list(range(len(texts))), "text": texts}).to_batches(max_chunksize=rows)
    make = pa.ipc.new_file if kind == "file" else pa.ipc.new_stream
    with make(sink, batches[0].schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return sink.getvalue()


@pytest.mark.parametrize("kind", ["file", "stream"])
@pytest.mark.parametrize("compression", [None, "zstd", "lz4"])
def test_arrow_files_and_streams(kind: str, compression: str | None) -> None:
    texts: list[str | None] = [f"text {n}" for n in range(25)]
    texts[3] = None
    found = arrow(ipc(kind, texts, compression=compression))
    assert [item.offset for item in found] == list(range(25))
    assert isinstance(found[3], Loss)
    assert found[3].reason == "missing_text"
    assert [item.text for item in found if isinstance(item, RawRecord)] == [text for text in texts if text]


def test_feather_is_arrow() -> None:
    sink = io.BytesIO()
    feather.write_feather(pa.table({"text": ["a", "b"]}), sink)
    assert [item.text for item in arrow(sink.getvalue()) if isinstance(item, RawRecord)] == ["a", "b"]


def test_wrong_offsets_in_an_arrow_batch_are_a_loss_and_never_foreign_memory() -> None:
    data = bytearray(ipc("file", [f"text {n:04d}" for n in range(30)]))
    offsets = b"".join((9 * n).to_bytes(4, "little") for n in range(11))
    second = data.index(offsets, data.index(offsets) + 1)
    data[second + 20 : second + 24] = (1 << 30).to_bytes(4, "little")
    found = arrow(bytes(data))
    assert [(item.offset, item.reason, item.value) for item in found if isinstance(item, Loss)] == [
        (10, "bad_arrow", 10.0)
    ]
    assert [item.offset for item in found if isinstance(item, RawRecord)] == [*range(10), *range(20, 30)]


def test_arrow_that_is_cut_or_none_and_a_missing_column() -> None:
    data = ipc("stream", ["text"] * 30)
    cut = arrow(data[: len(data) - 300])
    assert isinstance(cut[-1], Loss)
    assert cut[-1].reason == "bad_arrow"
    assert [item.offset for item in cut[:-1]] == list(range(len(cut) - 1))
    (loss,) = arrow(b"ARROW1 no")
    assert isinstance(loss, Loss)
    assert loss.reason == "bad_arrow"
    with pytest.raises(InputError, match=r"sources\.t\.url is 'nope'"):
        arrow(ipc("file", ["a"]), url="nope")


def test_a_text_above_the_limit_is_too_large_in_every_kind() -> None:
    for found in (parquet(written({"text": ["x" * 1001, "b"]})), arrow(ipc("file", ["x" * 1001, "b"]))):
        assert [(item.reason, item.value) for item in found if isinstance(item, Loss)] == [("too_large", 1001.0)]


def test_row_groups_share_a_parquet_file_out() -> None:
    data = written({"text": [f"document {n}" for n in range(95)]}, group=10)
    whole = parquet(data)
    for parts in (1, 3, 10, 50):
        groups = row_groups(io.BytesIO(data), parts)
        assert len(groups) == min(parts, 10)
        found = [
            item
            for group in groups
            for item in read_parquet(io.BytesIO(data), "x", table("parquet"), 1000, group)
        ]  # fmt: skip
        assert found == whole
    assert row_groups(io.BytesIO(b"PAR1 no"), 3) == []
