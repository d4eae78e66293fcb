"""From the recipe's section to what a model is asked, and what is refused before any model is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from crawl2chat.core.errors import InputError, RecipeError
from crawl2chat.core.recipe import Recipe
from crawl2chat.core.settings_evaluate import Evaluate
from crawl2chat.evaluate.asking import (
    askings,
    askings_while_training,
    check_evaluation,
    check_tasks,
    data_digests,
    read_questions,
    spread,
)
from crawl2chat.evaluate.items import Item
from crawl2chat.evaluate.tasks import TASKS
from pydantic import ValidationError

SUBJECTS = ["anatomy"] * 5 + ["virology"] * 2 + ["astronomy"] * 4


def piqa(number: int) -> dict[str, Any]:
    return {"goal": f"G{number}", "sol1": "a", "sol2": f"b{number}", "label": number % 2}


def lines(path: Path, *rows: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Plain files of two tasks."""
    lines(tmp_path / "data/eval-tasks/piqa_val.jsonl", *(piqa(number) for number in range(9)))
    for name in ("test", "dev"):
        rows = [
            {"question": f"{name} {n}?", "subject": subject, "choices": list("wxyz"), "answer": n % 4}
            for n, subject in enumerate(SUBJECTS)
        ]
        lines(tmp_path / f"data/mmlu/{name}.jsonl", *rows)
    return tmp_path / "data"


def recipe(section: dict[str, Any], **sections: Any) -> Recipe:
    sources = [{"kind": "jsonl", "name": "web", "paths": ["x.jsonl"]}]
    return Recipe.model_validate({"name": "r", "sources": sources, "evaluate": section, **sections})


def test_shots_limit_and_files_reach_the_task(data: Path) -> None:
    section = Evaluate(tasks=["piqa", "mmlu"], data=str(data), shots={"mmlu": 2}, limit=6)
    plain, mmlu = askings(section)
    assert (plain.shots, plain.examples, plain.file) == (0, None, str(data / "eval-tasks/piqa_val.jsonl"))
    assert (mmlu.shots, mmlu.examples) == (2, str(data / "mmlu/dev.jsonl"))
    questions = read_questions(mmlu)
    assert len(questions) == 6 and len(read_questions(plain)) == 6
    assert all(before.count("Answer:") == 2 and "dev" in before for before in questions.preambles)
    assert questions.part(2, 4) == [(questions.items[n], questions.preambles[n]) for n in (2, 3)]


def test_several_numbers_of_shots_are_asked_one_after_the_other(data: Path) -> None:
    section = Evaluate(tasks=["mmlu", "piqa"], data=str(data), shots={"mmlu": [0, 2]})
    assert [(one.task, one.shots) for one in askings(section)] == [("mmlu", 0), ("mmlu", 2), ("piqa", 0)]
    assert [one.examples is None for one in askings(section)] == [True, False, True]
    assert {"mmlu", "mmlu.examples", "piqa"} == data_digests(section).keys()
    section = Evaluate(tasks=["mmlu", "piqa"], data=str(data), shots=[0, 1])
    assert [one.shots for one in askings(section)] == [0, 1, 0, 1]
    with pytest.raises(InputError, match="2 examples of virology, 3 are wanted"):
        check_tasks(Evaluate(tasks=["mmlu"], data=str(data), shots={"mmlu": [0, 3]}))


def test_all_that_one_evaluation_asks_stays_read(data: Path) -> None:
    """Its loops go over models and tasks: with fewer places than questions each would be read for each model."""
    section = Evaluate(tasks=["mmlu", "piqa"], data=str(data), shots={"piqa": [0, 1, 2, 3, 4, 5], "mmlu": [0, 1, 2]})
    first = [read_questions(one) for one in askings(section)]
    assert len(first) == 9
    assert all(read_questions(one) is other for one, other in zip(askings(section), first, strict=True))
    assert len({id(one) for one in first[2].preambles}) == 3, "one text for all items of a subject"


def test_in_a_chat_the_examples_are_turns(data: Path) -> None:
    section = Evaluate(tasks=["mmlu", "piqa"], data=str(data), shots=1, chat=True)
    mmlu, plain = (read_questions(one) for one in askings(section))
    system, question, answer = mmlu.preambles[0]
    about = "The following are multiple choice questions (with answers) about anatomy.\n\n"
    assert system == ("system", about) and answer == ("assistant", "A")
    assert question == ("user", "dev 0?\nA. w\nB. x\nC. y\nD. z\nAnswer:")
    assert [role for role, _ in plain.preambles[0]] == ["user", "assistant"]
    during = {"tasks": ["piqa"], "data": str(data), "chat": True, "while_training": {"every": 1}}
    [asking] = askings_while_training(Evaluate.model_validate(during))
    assert not asking.chat


def test_a_file_that_changed_is_read_again(data: Path) -> None:
    [asking] = askings(Evaluate(tasks=["piqa"], data=str(data)))
    assert read_questions(asking) is read_questions(asking) and len(read_questions(asking)) == 9
    lines(Path(asking.file), *(piqa(number) for number in range(4)))
    assert len(read_questions(asking)) == 4


def test_a_file_of_ones_own_is_its_own_examples(tmp_path: Path, data: Path) -> None:
    own = str(lines(tmp_path / "own.jsonl", *(piqa(number) for number in range(4))))
    [asking] = askings(Evaluate(tasks=["piqa"], data=str(data), files={"piqa": own}, shots=1))
    assert asking.file == asking.examples == own
    [asking] = askings(Evaluate(tasks=["piqa"], data=str(data), files={"piqa": own}, examples={"piqa": "e"}, shots=1))
    assert asking.examples == "e"


def test_a_limit_is_spread_over_subjects() -> None:
    items = [Item(str(n), n, ("c",), ("d", "e"), 0, subject) for n, subject in enumerate(SUBJECTS)]
    assert [item.row for item in spread(TASKS["mmlu"], items, 7)] == [0, 1, 2, 5, 6, 7, 8]
    assert [item.row for item in spread(TASKS["mmlu"], items, 2)] == [0, 5]
    assert spread(TASKS["mmlu"], items, 99) == items and spread(TASKS["mmlu"], items, None) == items
    assert [item.row for item in spread(TASKS["piqa"], items, 3)] == [0, 1, 2]


def test_digests_are_of_the_content_alone(tmp_path: Path, data: Path) -> None:
    section = Evaluate(tasks=["piqa", "mmlu"], data=str(data), shots=1)
    before = data_digests(section)
    assert before.keys() == {"piqa", "piqa.examples", "mmlu", "mmlu.examples"}
    data.rename(tmp_path / "elsewhere")
    assert data_digests(section.model_copy(update={"data": str(tmp_path / "elsewhere")})) == before
    assert set(data_digests(section).values()) == {"absent"}


def test_what_is_wrong_is_named_before_any_model(tmp_path: Path, data: Path) -> None:
    bad = lines(tmp_path / "bad.jsonl", piqa(0), piqa(1) | {"label": None})
    for section, message, fix in (
        ({"tasks": ["pica"]}, "no task 'pica'", "piqa"),
        ({"tasks": ["piqa"], "shots": {"pica": 1}}, "no task 'pica'", "piqa"),
        ({"tasks": ["boolq"]}, f"no file {data}/eval-tasks/boolq_val.jsonl.gz", "evaluate.files.TASK"),
        ({"tasks": ["piqa"], "files": {"piqa": str(bad)}}, f"{bad}, line 2: `label` is missing", "remove the line"),
        ({"tasks": ["piqa"], "shots": 9}, "9 examples, more than 9 are needed", "fewer shots"),
        ({"tasks": ["mmlu"], "shots": 3}, "2 examples of virology, 3 are wanted", "fewer shots"),
    ):
        with pytest.raises(InputError) as caught:
            check_evaluation(recipe({"data": str(data), **section}))
        assert message in caught.value.message and fix in caught.value.fix
    check_evaluation(recipe({"tasks": ["piqa", "mmlu"], "data": str(data), "shots": {"mmlu": 2}}))


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"tasks": []}, "at least 1 item"),
        ({"tasks": ["piqa", "piqa"]}, "names piqa twice"),
        ({"tasks": ["piqa"], "shots": {"piqa": -1}}, "evaluate.shots.piqa is -1"),
        ({"tasks": ["piqa"], "shots": {"piqa": [0, 65]}}, r"evaluate.shots.piqa is \[0, 65\]; give a number from 0"),
        ({"tasks": ["piqa"], "shots": []}, r"evaluate.shots is \[\]; give a number"),
        ({"tasks": ["piqa"], "shots": [5, 5]}, r"evaluate.shots is \[5, 5\]; name each number once"),
        ({"tasks": ["piqa"], "models": ["base"]}, "'pretrain', 'finetune' or 'align'"),
    ],
)
def test_a_section_that_makes_no_sense_is_refused(section: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Evaluate.model_validate(section)


def test_a_model_that_is_not_made_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"evaluate.models names finetune, but nothing is fine-tuned"):
        recipe({"tasks": ["piqa"], "models": ["finetune"]})


def test_while_training_takes_the_sections_tasks_without_generation(data: Path) -> None:
    during = {"every": 5, "limit": 3}
    section = {"tasks": ["piqa", "gsm8k"], "data": str(data), "while_training": during}
    [asking] = askings_while_training(Evaluate.model_validate(section))
    assert (asking.task, asking.limit, asking.shots) == ("piqa", 3, 0)
    with pytest.raises(RecipeError, match="gsm8k"):
        check_evaluation(
            recipe({"tasks": ["piqa"], "data": str(data), "while_training": during | {"tasks": ["gsm8k"]}})
        )
    with pytest.raises(RecipeError, match="deepspeed"):
        check_evaluation(
            recipe(
                {"tasks": ["piqa"], "data": str(data), "while_training": during},
                resources={"parallel": {"strategy": "deepspeed"}},
            )
        )
