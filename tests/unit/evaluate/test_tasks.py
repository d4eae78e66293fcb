"""Every file of the shared tasks is read; what is wrong with a row is said with file, line and value."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from crawl2chat.core.errors import InputError
from crawl2chat.evaluate.tasks import TASKS, task_named

# items, answers to choose from, and how many items have their answer at its commonest place: counted in the raw rows
FILES = {
    "mmlu": (14042, 4, 3776),
    "hellaswag": (2511, 4, 641),
    "arc_easy": (2376, 4, 634),
    "arc_challenge": (1172, 4, 311),
    "piqa": (1838, 2, 928),
    "winogrande": (1267, 2, 639),
    "openbookqa": (500, 4, 138),
    "boolq": (3270, 2, 2033),
    "lambada": (5153, 1, 5153),
    "gsm8k": (1319, 1, 1319),
    "sciq": (1000, 4, 1000),
    "commonsense_qa": (1221, 5, 255),
    "social_iqa": (1954, 3, 657),
    "copa": (100, 2, 55),
    "rte": (277, 2, 146),
    "sst2": (872, 2, 444),
}
GOOD = {
    "mmlu": {"question": "Q", "subject": "anatomy", "choices": ["a", "b", "c", "d"], "answer": 1},
    "hellaswag": {"activity_label": "A", "ctx_a": "B.", "ctx_b": "c", "endings": ["d", "e"], "label": "1"},
    "arc_easy": {"id": "x", "question": "Q", "choices": {"text": ["a", "b"], "label": ["A", "B"]}, "answerKey": "B"},
    "piqa": {"goal": "G", "sol1": "a", "sol2": "b", "label": 1},
    "winogrande": {"sentence": "S so _ won.", "option1": "a", "option2": "b", "answer": "2"},
    "boolq": {"question": "q", "answer": True, "passage": "P"},
    "lambada": {"context": "C", "continuation": "c"},
    "gsm8k": {"question": "Q", "answer": "So 2.\n#### 2"},
}


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_every_task_has_its_file() -> None:
    assert FILES.keys() == TASKS.keys()


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_read(name: str, shared_data: Path) -> None:
    items = TASKS[name].load(shared_data)
    count, options, commonest = FILES[name]
    assert len(items) == count
    assert {item.options for item in items} == {options}
    assert Counter(item.answer for item in items).most_common(1)[0][1] == commonest
    assert len({item.id for item in items}) == count
    assert [item.row for item in items] == list(range(count))
    assert all(text.strip() for item in items for text in (*item.contexts, *item.choices))


def test_examples_lie_apart_from_questions(shared_data: Path) -> None:
    dev, test = TASKS["mmlu"].pool(shared_data), TASKS["mmlu"].load(shared_data)
    assert Counter(item.subject for item in dev) == dict.fromkeys({item.subject for item in test}, 5)
    assert len({item.subject for item in test}) == 57
    for name, common in (("arc_easy", 0), ("arc_challenge", 2)):  # two wordings that stand in both
        pool = {item.contexts for item in TASKS[name].pool(shared_data)}
        assert pool and len(pool & {item.contexts for item in TASKS[name].load(shared_data)}) == common


@pytest.mark.parametrize("name", GOOD)
def test_a_plain_file_is_read_too(name: str, tmp_path: Path) -> None:
    (item,) = TASKS[name].read(write(tmp_path / "mine.jsonl", GOOD[name]))
    assert item.id == GOOD[name].get("id", "mine:1") and item.row == 0
    assert item.answer == (0 if item.options == 1 else 1)


@pytest.mark.parametrize(
    ("name", "change", "message", "fix"),
    [
        ("mmlu", {"answer": None}, "`answer` is missing", "add it"),
        ("mmlu", {"answer": 4}, "`answer` is 4", "a number 0 to 3"),
        ("mmlu", {"answer": -1}, "`answer` is -1", "a number 0 to 3"),
        ("mmlu", {"answer": True}, "`answer` is True", "a number 0 to 3"),
        ("mmlu", {"answer": "B"}, "`answer` is 'B'", "a number 0 to 3"),
        ("mmlu", {"choices": ["a", "b", "c"]}, "`choices` are 3", "give four"),
        ("mmlu", {"choices": "abcd"}, "`choices` is 'abcd'", "a list"),
        ("mmlu", {"question": " "}, "`question` is ' '", "not empty"),
        ("hellaswag", {"label": ""}, "`label` is ''", "a number 0 to 1"),
        ("hellaswag", {"endings": ["d", ""]}, "`endings` is ['d', '']", "not empty"),
        ("arc_easy", {"answerKey": "E"}, "`answerKey` is 'E'", "one of ['A', 'B']"),
        ("arc_easy", {"choices": {"text": ["a", "b"]}}, "`choices.label` is None", "a list"),
        ("arc_easy", {"choices": {"text": ["a", "b"], "label": ["A", "B", "C"]}}, "2 texts and 3 labels", "each text"),
        ("piqa", {"sol2": 3}, "`sol2` is 3", "a text"),
        ("piqa", {"label": "1" * 5000}, "`label` is '111", "a number 0 to 1"),
        ("winogrande", {"answer": "0"}, "`answer` is '0'", "a number 1 to 2"),
        ("winogrande", {"sentence": "no gap"}, "`sentence` is 'no gap'", "a gap"),
        ("boolq", {"answer": "yes"}, "`answer` is 'yes'", "true or false"),
        ("lambada", {"continuation": ""}, "`continuation` is ''", "not empty"),
        ("gsm8k", {"answer": "It is 2."}, "`answer` ends with 'It is 2.'", "####"),
    ],
)
def test_a_bad_row_is_named(name: str, change: dict[str, Any], message: str, fix: str, tmp_path: Path) -> None:
    path = write(tmp_path / "bad.jsonl", GOOD[name], GOOD[name] | {"id": "y"} | change)
    with pytest.raises(InputError) as caught:
        TASKS[name].read(path)
    assert f"{path}, line 2: {message}" in caught.value.message or (
        caught.value.message.startswith(f"{path}, line 2: ") and message in caught.value.message
    )
    assert fix in caught.value.fix


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"goal": \n', "line 1: '{\"goal\": \\n' is not JSON"),
        (b"[1]\n", "line 1: '[1]\\n' is no object"),
        (b"", "is empty"),
        (b'{"goal": "\xff"}\n', "can't decode byte 0xff"),
        (b"\n", "is not JSON"),
        (b"[" * 200_000 + b"\n", "line 1: '[[["),
        (b'{"label": ' + b"1" * 5000 + b"}\n", 'line 1: \'{"label": 1'),
    ],
)
def test_a_bad_file_is_named(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(data)
    with pytest.raises(InputError) as caught:
        TASKS["piqa"].read(path)
    assert str(path) in caught.value.message and message in caught.value.message and caught.value.fix


def test_a_cut_gzip_and_a_missing_file_are_named(tmp_path: Path) -> None:
    whole = gzip.compress("".join(json.dumps(GOOD["piqa"] | {"n": n}) + "\n" for n in range(5000)).encode())
    for name, data in (
        ("cut", whole[: len(whole) // 2]),
        ("plain", b"{}\n"),
        ("flipped", whole[:900] + b"xx" + whole[902:]),
    ):
        path = tmp_path / f"{name}.jsonl.gz"
        path.write_bytes(data)
        with pytest.raises(InputError) as caught:
            TASKS["piqa"].read(path)
        assert str(path) in caught.value.message
    with pytest.raises(InputError, match="there is no file"):
        TASKS["piqa"].read(tmp_path / "none.jsonl")


def test_boolq_has_superglues_passage(tmp_path: Path) -> None:
    """`TITLE -- PASSAGE`, as SuperGLUE's rows have it already; the label is its number there."""
    asked = "Acid -- It is sour.\nQuestion: is acid sour?\nAnswer:"
    titled = {"title": "Acid", "passage": "It is sour.", "question": "is acid sour", "answer": True}
    superglue = {"passage": "Acid -- It is sour.", "question": "is acid sour", "idx": 3, "label": 1}
    for row in (titled, superglue):
        [item] = TASKS["boolq"].read(write(tmp_path / "boolq.jsonl", row))
        assert (item.contexts, item.choices, item.answer) == ((asked,), ("no", "yes"), 1)
    with pytest.raises(InputError, match="`label` is 2"):
        TASKS["boolq"].read(write(tmp_path / "bad.jsonl", superglue | {"label": 2}))


def test_plain_files_serve_where_there_is_no_gzipped_one(tmp_path: Path) -> None:
    (tmp_path / "eval-tasks").mkdir()
    task = TASKS["piqa"]
    assert task.questions_file(tmp_path).name == "piqa_val.jsonl.gz"
    write(tmp_path / "eval-tasks/piqa_val.jsonl", GOOD["piqa"])
    assert len(task.load(tmp_path)) == len(task.pool(tmp_path)) == 1


def test_two_items_of_one_id_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="line 2: its id 'x' is that of line 1"):
        TASKS["arc_easy"].read(write(tmp_path / "twice.jsonl", GOOD["arc_easy"], GOOD["arc_easy"]))


def test_an_unknown_task_is_named() -> None:
    assert task_named("mmlu") is TASKS["mmlu"]
    with pytest.raises(InputError, match="no task 'mmmlu'"):
        task_named("mmmlu")
