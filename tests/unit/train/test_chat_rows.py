"""Chat data in others' formats, real and malformed."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crawl2chat.core.errors import InputError
from crawl2chat.train.chat_rejects import Reject, Tally
from crawl2chat.train.chat_rows import Conversation, read_conversations

USER, ANSWER = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
SYSTEM = {"role": "system", "content": "s"}
Q, A = {"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}


def lines(path: Path, rows: list[Any]) -> Path:
    data = b"".join((row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in rows)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


GOOD = [
    ({"messages": [USER, ANSWER]}, [USER, ANSWER]),
    ({"messages": [SYSTEM, USER, ANSWER, USER, ANSWER]}, [SYSTEM, USER, ANSWER, USER, ANSWER]),
    ({"messages": [USER, ANSWER, USER]}, [USER, ANSWER, USER]),
    ({"messages": [{"role": "system", "content": " "}, USER, ANSWER]}, [USER, ANSWER]),
    ({"conversations": [Q, A, Q, A]}, [USER, ANSWER, USER, ANSWER]),
    ({"conversations": [{"from": "system", "value": "s"}, Q, A], "id": 7}, [SYSTEM, USER, ANSWER]),
    ({"conversations": [Q, A], "system": "s"}, [SYSTEM, USER, ANSWER]),
    ({"conversations": [USER, ANSWER]}, [USER, ANSWER]),
    ({"instruction": "q", "input": "", "output": "a"}, [USER, ANSWER]),
    ({"instruction": "q", "output": "a", "system": "s"}, [SYSTEM, USER, ANSWER]),
    ({"instruction": "q", "input": "x", "output": "a"}, [{"role": "user", "content": "q\n\nx"}, ANSWER]),
    ({"instruction": "q", "input": "", "output": "a", "history": [["q", "a"]]}, [USER, ANSWER, USER, ANSWER]),
    ({"question": "q", "answer": "a"}, [USER, ANSWER]),
    ({"prompt": "q", "response": "a", "messages": None}, [USER, ANSWER]),
]
BAD = [
    (b"{", "not_json", "Expecting"),
    (b"[" * 100_000, "not_json", "recursion"),
    (b'{"messages": "\xff"}', "not_utf8", "0xff"),
    (b"3", "not_an_object", "int"),
    ({"text": "q"}, "unknown_format", "text"),
    ({"instruction": "q"}, "unknown_format", "instruction"),
    ({"messages": "q"}, "wrong_type", "messages is str"),
    ({"messages": [USER, "a"]}, "wrong_type", "turn 2 is str"),
    ({"messages": [USER, {"role": "assistant", "content": ["a"]}]}, "wrong_type", "turn 2 .assistant. has list"),
    ({"instruction": ["q"], "output": "a"}, "wrong_type", "turn 1 .user. has list"),
    ({"instruction": "q", "input": 3, "output": "a"}, "wrong_type", "turn 1 .user. has int"),
    ({"instruction": "q", "output": "a", "history": ["q"]}, "wrong_type", "history"),
    ({"messages": [USER, {"role": "robot", "content": "a"}]}, "unknown_role", "turn 2 has the role 'robot'"),
    ({"messages": [USER, {"role": ["user"], "content": "a"}]}, "unknown_role", "turn 2"),
    ({"conversations": [Q, {"from": "function_call", "value": "{}"}]}, "unknown_role", "function_call"),
    ({"messages": [USER, {"role": "assistant", "content": " \n"}]}, "empty_content", "turn 2"),
    ({"messages": [USER, {"role": "assistant"}]}, "empty_content", "turn 2"),
    ({"instruction": "", "output": "a"}, "empty_content", "turn 1"),
    ({"messages": [ANSWER, USER]}, "assistant_first", "first"),
    ({"messages": [SYSTEM, ANSWER]}, "assistant_first", "first"),
    ({"messages": [USER, USER, ANSWER]}, "out_of_turn", "turn 2 is the user's in place of the assistant's"),
    ({"messages": [USER, SYSTEM, ANSWER]}, "out_of_turn", "turn 2 is the system's"),
    ({"messages": [SYSTEM, SYSTEM, USER, ANSWER]}, "out_of_turn", "turn 2 is the system's"),
    ({"messages": [USER]}, "no_assistant_turn", "1 turns"),
    ({"messages": []}, "no_assistant_turn", "0 turns"),
]


@pytest.mark.parametrize("name", ["c.jsonl", "c.jsonl.gz", "c.json"])
def test_formats_are_found_row_by_row(tmp_path: Path, name: str) -> None:
    file, tally = lines(tmp_path / name, [row for row, _ in GOOD]), Tally(0)
    found = list(read_conversations([file], tally))
    assert found == [Conversation(str(file), place, messages) for place, (_, messages) in enumerate(GOOD, 1)]
    assert tally.counts() == {"conversations": len(GOOD)}
    assert isinstance(found[1], Conversation) and found[1].doc_id == f"{name}:2"


def test_an_array_and_parquet_give_the_same(tmp_path: Path) -> None:
    rows = [row for row, _ in GOOD if "conversations" not in row or "from" in row["conversations"][0]]
    expected = [messages for row, messages in GOOD if row in rows]
    (tmp_path / "c.json").write_text("\ufeff" + json.dumps(rows, indent=1), encoding="utf-8")
    names = sorted({key for row in rows for key in row})
    pq.write_table(pa.Table.from_pylist([{key: row.get(key) for key in names} for row in rows]), tmp_path / "c.parquet")
    for name in ("c.json", "c.parquet"):
        found = list(read_conversations([tmp_path / name], Tally(0)))
        assert [one.messages for one in found if isinstance(one, Conversation)] == expected
        assert [one.row for one in found] == list(range(1, len(rows) + 1))


@pytest.mark.parametrize(("row", "reason", "detail"), BAD)
def test_malformed_rows_are_named(tmp_path: Path, row: Any, reason: str, detail: str) -> None:
    good = {"messages": [USER, ANSWER]}
    file, tally = lines(tmp_path / "c.jsonl", [good, b"", row, good]), Tally(1)
    first, bad, last = read_conversations([file], tally)
    assert isinstance(first, Conversation) and isinstance(last, Conversation) and last.row == 4
    assert isinstance(bad, Reject) and (bad.file, bad.row, bad.reason) == (str(file), 3, reason)
    assert re.search(detail, bad.detail)
    assert tally.counts() == {"conversations": 2, f"rejected.{reason}": 1}


def test_too_many_rejects_are_an_error(tmp_path: Path) -> None:
    file = lines(tmp_path / "c.jsonl", [{"messages": [USER, ANSWER]}, b"{", {"messages": [USER]}, b"{", b"{", b"{"])
    found, rows = [], read_conversations([file, file], Tally(4))
    with pytest.raises(InputError) as caught:
        for row in rows:
            found.append(row)
    assert len(found) == 5
    assert "more than 4 rows are no conversations (4 not_json, 1 no_assistant_turn; 1 before are)" in str(caught.value)
    assert f"{file}:2 not_json" in str(caught.value) and f"{file}:3 no_assistant_turn" in str(caught.value)
    assert sum(isinstance(row, Reject) for row in read_conversations([file], Tally(5))) == 5


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("absent.jsonl", None, "absent.jsonl cannot be read behind row 0"),
        (
            "c.jsonl.gz",
            gzip.compress(b'{"question": "q", "answer": "a"}\n' * 9, mtime=0)[:-9],
            "c.jsonl.gz cannot be read behind",
        ),
        ("c.json", b"[{}", "begins like a JSON array"),
        ("c.parquet", b"PAR1 or not", "c.parquet cannot be read"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, data: bytes | None, says: str) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=says):
        list(read_conversations([tmp_path / name]))


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("dolly_hhrlhf_train_small.jsonl.gz", {"conversations": 1000}),
        ("gpteacher_codegen.json.gz", {"conversations": 4535}),
        ("gsm8k_train_3000.jsonl.gz", {"conversations": 3000}),
        ("llamafactory_alpaca_en_demo.json.gz", {"conversations": 999}),
        ("llamafactory_alpaca_zh_demo.json.gz", {"conversations": 1000}),
        ("llamafactory_glaive_toolcall_en_demo.json.gz", {"conversations": 147, "rejected.unknown_role": 153}),
        ("llamafactory_identity.json.gz", {"conversations": 91}),
        ("rasbt_instruction_data.json.gz", {"conversations": 1100}),
        ("self_instruct_seed_tasks.jsonl.gz", {"rejected.unknown_format": 175}),
    ],
)
def test_real_files(instruct: Callable[[str], Path], name: str, counts: dict[str, int]) -> None:
    tally = Tally(200)
    rows = list(read_conversations([instruct(name)], tally))
    assert {key: value for key, value in tally.counts().items() if value} == counts
    assert all(
        "function_call" in row.detail for row in rows if isinstance(row, Reject) and row.reason == "unknown_role"
    )


def test_real_rows_word_by_word(instruct: Callable[[str], Path]) -> None:
    """The texts are those of the files, read another way."""
    file = instruct("gpteacher_codegen.json.gz")
    raw = json.loads(gzip.decompress(file.read_bytes()))
    for row, found in zip(raw, read_conversations([file], Tally(0)), strict=True):
        assert isinstance(found, Conversation)
        question, answer = (one["content"] for one in found.messages)
        assert answer == row["response"] and question.startswith(row["instruction"]) and question.endswith(row["input"])
    tools = instruct("llamafactory_glaive_toolcall_en_demo.json.gz")
    raw = json.loads(gzip.decompress(tools.read_bytes()))
    for row, found in zip(raw, read_conversations([tools], Tally(200)), strict=True):
        spoken = {turn["from"] for turn in row["conversations"]} == {"human", "gpt"}
        assert isinstance(found, Conversation) == spoken
        if isinstance(found, Conversation):
            assert [one["content"] for one in found.messages] == [turn["value"] for turn in row["conversations"]]
            assert [one["role"] for one in found.messages[:2]] == ["user", "assistant"]
