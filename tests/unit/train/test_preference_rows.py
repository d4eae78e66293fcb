"""Preference files of several makers, and rows that are no pairs, each with its reason, file and line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from crawl2chat.core.errors import InputError
from crawl2chat.train.preference_rows import counts, read_pairs

ASKED = {"role": "user", "content": "Why?"}
YES, NO = {"role": "assistant", "content": "Because."}, {"role": "assistant", "content": "No."}


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in rows), "utf-8")
    return path


@pytest.mark.parametrize(
    ("row", "roles"),
    [
        ({"prompt": "Why?", "chosen": "Because.", "rejected": "No."}, "u"),
        ({"prompt": [ASKED], "chosen": [YES], "rejected": [NO]}, "u"),
        ({"chosen": [ASKED, YES], "rejected": [ASKED, NO]}, "u"),
        ({"prompt": "Why?", "chosen": [ASKED, YES], "rejected": [ASKED, NO]}, "u"),
        ({"instruction": "Why?", "input": "", "output": "?", "chosen": "Because.", "rejected": "No."}, "u"),
        ({"system": "Be kind.", "prompt": "Why?", "chosen": "Because.", "rejected": "No."}, "su"),
        ({"system": "", "prompt": "Why?", "chosen": "Because.", "rejected": "No."}, "u"),
        (
            {
                "conversations": [
                    {"from": "human", "value": "Hm"},
                    {"from": "gpt", "value": "?"},
                    {"from": "human", "value": "Why?"},
                ],
                "chosen": {"from": "gpt", "value": "Because."},
                "rejected": {"from": "gpt", "value": "No."},
            },
            "uau",
        ),
    ],
)
def test_formats(row: dict, roles: str, tmp_path: Path) -> None:
    pairs, rejects = read_pairs([write(tmp_path / "p.jsonl", [row])])
    assert rejects == [] and len(pairs) == 1
    (pair,) = pairs
    assert "".join(one["role"][0] for one in pair.prompt) == roles
    assert pair.prompt[-1] == ASKED and (pair.chosen, pair.rejected) == ("Because.", "No.")
    assert pair.source == f"{tmp_path / 'p.jsonl'}:1"


def test_an_input_stands_behind_its_instruction(tmp_path: Path) -> None:
    row = {"instruction": "Mend", "input": "teh", "chosen": "the", "rejected": "eth"}
    assert read_pairs([write(tmp_path / "p.jsonl", [row])])[0][0].prompt[0]["content"] == "Mend\n\nteh"


BAD = [
    ('{"prompt": "\\ud800", "chosen": "a", "rejected": "b"}', "unreadable", "half a character in prompt"),
    ("[" * 100_000, "unreadable", "[["),
    ("{broken", "unreadable", "{broken"),
    ('["a"]', "unreadable", "no JSON object"),
    ({"prompt": "Why?", "chosen": "a"}, "missing", "no rejected"),
    ({"prompt": "Why?", "chosen": None, "rejected": "a"}, "missing", "no chosen"),
    ({"chosen": "a", "rejected": "b"}, "missing", "no prompt"),
    ({"prompt": 3, "chosen": "a", "rejected": "b"}, "missing", "prompt is neither"),
    ({"prompt": "Why?", "chosen": {"role": "assistant"}, "rejected": "b"}, "missing", "chosen without content"),
    ({"messages": [ASKED, YES], "label": True}, "missing", "no chosen"),
    ({"prompt": "Why?", "chosen": " \n", "rejected": "b"}, "empty", "chosen"),
    ({"prompt": "Why?", "chosen": "a", "rejected": ""}, "empty", "rejected"),
    ({"prompt": " ", "chosen": "a", "rejected": "b"}, "empty", "prompt"),
    ({"prompt": [], "chosen": "a", "rejected": "b"}, "empty", "no message in prompt"),
    ({"prompt": "Why?", "chosen": "a\n", "rejected": " a"}, "equal", "same text"),
    ({"prompt": [YES], "chosen": "a", "rejected": "b"}, "roles", "assistant, assistant"),
    ({"prompt": [ASKED, ASKED], "chosen": "a", "rejected": "b"}, "roles", "user, user, assistant"),
    ({"prompt": [{"role": "tool", "content": "x"}], "chosen": "a", "rejected": "b"}, "roles", "'tool'"),
    ({"prompt": [{"role": ["user"], "content": "x"}], "chosen": "a", "rejected": "b"}, "roles", "['user']"),
    ({"prompt": [{"role": "system", "content": "x"}], "chosen": "a", "rejected": "b"}, "roles", "system, assistant"),
    ({"prompt": "Why?", "chosen": "a", "rejected": ASKED}, "roles", "rejected is the user's"),
    ({"chosen": [ASKED, YES], "rejected": [{**ASKED, "content": "When?"}, NO]}, "roles", "different prompts"),
]


@pytest.mark.parametrize(("row", "reason", "detail"), BAD)
def test_what_is_no_pair_is_rejected_with_its_reason_and_line(row, reason: str, detail: str, tmp_path: Path) -> None:
    good = {"prompt": "Why?", "chosen": "Because.", "rejected": "No."}
    path = write(tmp_path / "p.jsonl", [good, "", row, good])
    pairs, rejects = read_pairs([path])
    assert [one.source for one in pairs] == [f"{path}:1", f"{path}:4"]
    assert [(one.source, one.reason) for one in rejects] == [(f"{path}:3", reason)]
    assert detail in rejects[0].detail


def test_too_many_rejects_are_an_error_that_names_the_first(tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", [{"prompt": "Why?", "chosen": "a", "rejected": "a"}, "{", "{"])
    assert counts(read_pairs([path], limit=3)[1]) == {"equal": 1, "unreadable": 2}
    with pytest.raises(InputError, match=rf"more than 2 rows.*'equal': 1, 'unreadable': 2.*{path}:1: chosen and"):
        read_pairs([path], limit=2)


def test_rows_of_an_array_have_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "p.json.gz"
    rows = [{"prompt": "Why\u2028?", "chosen": f"a{n}", "rejected": "a1"} for n in range(3)]
    path.write_bytes(gzip.compress(json.dumps(rows, indent=2, ensure_ascii=False).encode()))
    pairs, rejects = read_pairs([path])
    assert [one.source for one in pairs] == [f"{path}:2", f"{path}:12"]
    assert [(one.source, one.reason) for one in rejects] == [(f"{path}:7", "equal")]
    path.write_bytes(gzip.compress(b"[]\n"))
    assert read_pairs([path]) == ([], [])


@pytest.mark.parametrize(
    ("text", "line"),
    [('[{"a": 1},\n{"a": }]', 2), ('[{"a": 1},\n\n', 3), ('\n{"a": 1}', 2), ("", 1), ('[\n{"a": 1}]\n[', 2)],
)
def test_a_file_that_is_no_array_is_refused_at_its_line(text: str, line: int, tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(text, "utf-8")
    with pytest.raises(InputError, match=f"p.json:{line} is no JSON array"):
        read_pairs([path])


@pytest.mark.parametrize(
    "data",
    [
        None,
        b"\xff\xfe\x00",
        gzip.compress(b"[]" * 900, mtime=0)[:-9],
        gzip.compress(b"[]", mtime=0)[:10] + b"\xff" * 20,
    ],
)
def test_a_file_that_cannot_be_read_is_refused(data: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "p.json.gz"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(InputError, match="cannot be read"):
        read_pairs([path])


def test_real_files(shared_data: Path) -> None:
    found = {}
    for path in sorted((shared_data / "preference").glob("*.json.gz")):
        pairs, rejects = read_pairs([path])
        assert len(pairs) + len(rejects) == len(json.loads(gzip.decompress(path.read_bytes())))
        assert all(one.prompt[-1]["role"] == "user" and one.chosen != one.rejected for one in pairs)
        found[path.name.removesuffix(".json.gz")] = (len(pairs), counts(rejects))
    assert found == {
        "llamafactory_dpo_en_demo": (300, {}),
        "llamafactory_dpo_zh_demo": (300, {}),
        "llamafactory_kto_en_demo": (0, {"missing": 300}),  # no pairs: one answer, and whether it was liked
        "rasbt_instruction_data_with_preference": (1094, {"equal": 6}),
    }
