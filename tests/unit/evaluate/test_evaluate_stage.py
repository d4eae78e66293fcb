"""The stage's counters, and what its models are asked in."""

from __future__ import annotations

from crawl2chat.core.settings_evaluate import Evaluate
from crawl2chat.evaluate.evaluate_stage import _counters
from crawl2chat.evaluate.evaluation import asked_of
from crawl2chat.evaluate.models import ModelFiles
from crawl2chat.evaluate.results import Result


def result(model: str, task: str, shots: int, value: float, part: str = "all", items: int = 9) -> Result:
    return Result(
        model=model,
        task=task,
        shots=shots,
        part=part,
        figure="acc",
        value=value,
        low=0,
        high=1,
        items=items,
        chance=0.5,
    )


def test_a_task_with_several_numbers_of_shots_has_a_counter_of_each() -> None:
    section = Evaluate(tasks=["mmlu", "piqa"], shots={"mmlu": [0, 5]})
    results = [
        result(model, task, shots, value + add, part, items)
        for model, add in (("pretrain", 0.0), ("finetune", 0.1))
        for task, shots, value in (("mmlu", 0, 0.25), ("mmlu", 5, 0.5), ("piqa", 0, 0.75))
        for part, items in (("all", 9), ("contaminated", 2))
    ]
    found = _counters(section, results, 2)
    assert {name: one for name, one in found.items() if name.startswith("acc")} == {
        "acc.mmlu_0.pretrain": 0.25, "acc.mmlu_5.pretrain": 0.5, "acc.piqa.pretrain": 0.75,
        "acc.mmlu_0.finetune": 0.35, "acc.mmlu_5.finetune": 0.6, "acc.piqa.finetune": 0.85,
    }  # fmt: skip
    assert (found["models"], found["tasks"], found["items"], found["items_contaminated"]) == (2, 2, 54, 4)


def test_models_without_a_template_are_asked_in_plain_words() -> None:
    plain = ModelFiles(name="pretrain", weights="w", tokenizer="t", digest="d")
    chatting = plain.model_copy(update={"template": '{"kind": "house"}'})
    for section, model, chat in (
        (Evaluate(tasks=["piqa"], chat=True), plain, False),
        (Evaluate(tasks=["piqa"], chat=True), chatting, True),
        (Evaluate(tasks=["piqa"]), chatting, False),
    ):
        assert [one.chat for one in asked_of(model, section)] == [chat]
