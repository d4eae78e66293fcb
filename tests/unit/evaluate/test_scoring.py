"""A task from file to figures with a small model: by hand, resumed, refused."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from crawl2chat.core.errors import ContractError, InputError
from crawl2chat.evaluate import scoring, writing
from crawl2chat.evaluate.figures import figures
from crawl2chat.evaluate.intervals import wilson
from crawl2chat.evaluate.items import Item
from crawl2chat.evaluate.records import Record, RecordFile
from crawl2chat.evaluate.scoring import score
from crawl2chat.evaluate.tasks import TASKS


@pytest.fixture
def piqa(shared_data: Path):
    """The shortest items: the forwards by hand are many."""
    return sorted(TASKS["piqa"].load(shared_data), key=lambda item: len("".join([*item.contexts, *item.choices])))[:14]


def test_figures_by_hand(by_hand, model, tokenizer, piqa) -> None:
    """acc and acc_norm from log-likelihoods of single forwards, normalised by characters of the choice."""
    task = TASKS["piqa"]
    records = score(model, tokenizer, task, piqa)
    raw, normed, bits, size = 0, 0, 0.0, 0
    for item, record in zip(piqa, records, strict=True):
        found = [by_hand(model, tokenizer, item.contexts[0], " " + choice)[0] for choice in item.choices]
        np.testing.assert_allclose(record.log_likelihoods, found, rtol=1e-5)
        raw += int(np.argmax(found)) == item.answer
        normed += int(np.argmax([x / len(c) for x, c in zip(found, item.choices, strict=True)])) == item.answer
        bits -= found[item.answer] / math.log(2)
        size += len((" " + item.choices[item.answer]).encode())
    given = figures(task, piqa, records)
    assert (given["acc"].value, given["acc_norm"].value) == (raw / 14, normed / 14)
    assert (given["acc"].low, given["acc"].high) == wilson(raw, 14)
    assert given["acc"].chance == 0.5 and given["acc"].items == 14
    assert given["bits_per_byte"].value == pytest.approx(bits / size, rel=1e-5)
    assert given["bits_per_byte"].low < bits / size < given["bits_per_byte"].high


@pytest.mark.parametrize("name", sorted(TASKS))
def test_every_task_is_scored(name: str, model, tokenizer, shared_data: Path, monkeypatch) -> None:
    if name == "gsm8k":
        answers = ["#### 18"] * 4
        monkeypatch.setattr(scoring, "written_answers", lambda _, __, prompts, known: enumerate(answers))
    task = TASKS[name]
    items = task.load(shared_data)[:4]
    pool = task.pool(shared_data)[:60]
    given = figures(task, items, score(model, tokenizer, task, items, pool, shots=1))
    assert set(task.figures) <= given.keys()
    assert all(one.low <= one.value <= one.high for one in given.values())
    chance = {"lambada": 0, "gsm8k": 0, "commonsense_qa": 1 / 5, "social_iqa": 1 / 3}
    assert given[task.figures[0]].chance == pytest.approx(chance.get(name, 1 / items[0].options))


def test_lambada_by_hand(by_hand, model, tokenizer, shared_data: Path) -> None:
    items = TASKS["lambada"].load(shared_data)[:3]
    found = [by_hand(model, tokenizer, item.contexts[0], item.choices[0]) for item in items]
    given = figures(TASKS["lambada"], items, score(model, tokenizer, TASKS["lambada"], items))
    assert given["perplexity"].value == pytest.approx(math.exp(-np.mean([one for one, _ in found])), rel=1e-4)
    assert given["acc"].value == np.mean([greedy for _, greedy in found])


def mmlu_records(shared_data: Path) -> tuple[list, list[Record]]:
    """Three subjects of 100, 135 and 152 items; a model that always says A."""
    items = [item for item in TASKS["mmlu"].load(shared_data) if item.subject < "b"]
    return items, [
        Record.of(item, log_likelihoods=(-1.0, -2.0, -2.0, -2.0), greedy=(True,) * 4, bytes=(2,) * 4, lengths=(1,) * 4)
        for item in items
    ]


def test_macro_and_micro(shared_data: Path) -> None:
    items, records = mmlu_records(shared_data)
    shares = {}
    for subject in ("abstract_algebra", "anatomy", "astronomy"):
        mine = [item.answer == 0 for item in items if item.subject == subject]
        shares[subject] = sum(mine) / len(mine)
    given = figures(TASKS["mmlu"], items, records)
    assert {name: given[f"acc/{name}"].value for name in shares} == shares
    assert given["acc_macro"].value == pytest.approx(np.mean(list(shares.values())))
    assert given["acc"].value == np.mean([item.answer == 0 for item in items]) != given["acc_macro"].value
    spread = math.sqrt(sum(p * (1 - p) / given[f"acc/{name}"].items for name, p in shares.items())) / 3
    assert given["acc_macro"].high - given["acc_macro"].low == pytest.approx(2 * 1.96 * spread, rel=0.1)


def test_of_equal_choices_the_first_counts() -> None:
    record = Record("x", 0, "", 1, (-2.0, -2.0), (False, False), (3, 9), (3, 4), (3, 9))
    assert not record.acc and record.acc_norm and record.acc_bytes
    assert not Record("x", 0, "", 1, (-3.0, -8.0), (False,) * 2, (3, 3), (3, 8), (3, 8)).acc_norm


class Killed(Exception):
    pass


def dying(model, after: int):
    """A hook by which the model's forward number `after` (from 0) does not come back; it counts them."""
    seen: list[int] = []

    def forward(_, inputs) -> None:
        seen.append(inputs[0].numel())
        if len(seen) > after:
            raise Killed

    return seen, model.embedding.register_forward_pre_hook(forward)


@pytest.mark.parametrize("name", ["piqa", "gsm8k"])
def test_a_killed_run_goes_on_by_item(name: str, model, tokenizer, piqa, tmp_path: Path, monkeypatch) -> None:
    """Killed between batches, and half a line left behind: only the batches that are missing are read, and all records
    have the bits of a run without interruption."""
    items = piqa
    if name == "gsm8k":
        monkeypatch.setattr(writing, "MAX_ROWS", 2)
        items = [Item(f"g{n}", n, (f"{letter} is",), (f"#### {n}",), 0) for n, letter in enumerate("abcdefgh")]
    task, path = TASKS[name], tmp_path / "records.jsonl"
    seen, hook = dying(model, 10**9)
    once = score(model, tokenizer, task, items, max_tokens=60)
    hook.remove()
    whole = len(seen)
    seen, hook = dying(model, whole // 2)
    with pytest.raises(Killed):
        score(model, tokenizer, task, items, path=path, name="m", max_tokens=60)
    hook.remove()
    kept = len(RecordFile(path, json.loads(path.read_text().split("\n")[0])["about"]).records)
    assert 0 < kept < len(items)
    with path.open("ab") as handle:
        handle.write(b'{"id": "piqa_val:9", "ro')  # as a kill leaves it
    seen, hook = dying(model, 10**9)
    again = score(model, tokenizer, task, items, path=path, name="m", max_tokens=60)
    hook.remove()
    assert 0 < len(seen) < whole
    assert again == once, "the same bits"
    assert len(path.read_text(encoding="utf-8").splitlines()) == 1 + len(items)
    seen, hook = dying(model, 0)
    assert score(model, tokenizer, task, items, path=path, name="m", max_tokens=60) == once and not seen
    hook.remove()


def test_records_of_another_run_are_refused(model, tokenizer, piqa, tmp_path: Path) -> None:
    path = tmp_path / "piqa.jsonl"
    score(model, tokenizer, TASKS["piqa"], piqa[:3], path=path, name="a")
    for items, pool, shots, name, key in (
        (piqa[:3], [], 0, "b", "'model': 'a'"),
        (piqa[:2], [], 0, "a", "prompts"),
        (piqa[:3], piqa, 1, "a", "'shots': 0"),
    ):
        with pytest.raises(ContractError, match=key):
            score(model, tokenizer, TASKS["piqa"], items, pool, shots=shots, path=path, name=name)


def test_a_file_that_holds_no_records_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    for text, message in (("[]\n", "first line"), ("no\n", "first line"), ('{"about": {}}\n{"id": 1}\n', "line 2")):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=message):
            RecordFile(path, {})


def test_a_text_with_other_marks_of_lines_survives(tmp_path: Path) -> None:
    path, record = tmp_path / "x.jsonl", Record("a", 0, "", 0, text="one\u2028two\x85three\nfour")
    RecordFile(path, {"task": "t"}).add([record])
    assert RecordFile(path, {"task": "t"}).records == {"a": record}
    assert json.loads(path.read_text(encoding="utf-8").split("\n")[0]) == {"about": {"task": "t"}}


def test_records_of_other_items_give_no_figures(shared_data: Path) -> None:
    items, records = mmlu_records(shared_data)
    for some in (records[:-1], [], records[::-1]):
        with pytest.raises(InputError, match="records of"):
            figures(TASKS["mmlu"], items, some)
