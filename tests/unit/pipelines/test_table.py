"""jsonl and parquet: the column map, and each kind of broken row."""

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
from crawl2chat.pipelines.sources.table import read_jsonl, read_parquet


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
