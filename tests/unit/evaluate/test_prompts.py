"""Prompts against strings written by hand from lm-evaluation-harness 0.4.13's templates."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from crawl2chat.core.errors import InputError
from crawl2chat.evaluate.items import Item
from crawl2chat.evaluate.prompts import pairs, preambles
from crawl2chat.evaluate.tasks import TASKS

MMLU_1 = """The following are multiple choice questions (with answers) about abstract algebra.

Find all c in Z_3 such that Z_3[x]/(x^2 + c) is a field.
A. 0
B. 1
C. 2
D. 3
Answer: B

Find the degree for the given field extension Q(sqrt(2), sqrt(3), sqrt(18)) over Q.
A. 0
B. 4
C. 2
D. 6
Answer:"""
# (context, continuations) of each task's first item
FIRST = {
    "hellaswag": (
        "Roof shingle removal: A man is sitting on a roof. He",
        [" is using wrap to wrap a pair of skis.", " is ripping level tiles off.", " is holding a rubik's cube.",
         " starts pulling up roofing on a roof."],
    ),
    "arc_challenge": (
        "Question: An astronomer observes that a planet rotates faster after a meteorite impact. Which is the most "
        "likely effect of this increase in rotation?\nAnswer:",
        [" Planetary density will decrease.", " Planetary years will become longer.",
         " Planetary days will become shorter.", " Planetary gravity will become stronger."],
    ),
    "openbookqa": (
        "Frilled sharks and angler fish live far beneath the surface of the ocean, which is why they are known as",
        [" Deep sea animals", " fish", " Long Sea Fish", " Far Sea Animals"],
    ),
    "sciq": (
        "\nQuestion: Who proposed the theory of evolution by natural selection?\nAnswer:",
        [" Linnaeus", " shaw", " Scopes", " darwin"],
    ),
    "commonsense_qa": (
        "Question: A revolving door is convenient for two direction travel, but it also serves as a security measure "
        "at a what?\nA. bank\nB. library\nC. department store\nD. mall\nE. new york\nAnswer:",
        [" A", " B", " C", " D", " E"],
    ),
    "social_iqa": (
        "Q: Tracy didn't go home that evening and resisted Riley's attacks. What does Tracy need to do before this?"
        "\nA:",
        [" make a new plan", " Go home and see Riley", " Find somewhere to go"],
    ),
    "copa": (
        "The man turned on the faucet therefore",
        ["  the toilet filled with water.", "  water flowed from the spout."],
    ),
    "sst2": (
        "it 's a charming and often affecting journey . \nQuestion: Is this sentence positive or negative?\nAnswer:",
        [" negative", " positive"],
    ),
}  # fmt: skip


def test_mmlu_with_one_example(shared_data: Path) -> None:
    task = TASKS["mmlu"]
    items, pool = task.load(shared_data)[:1], task.pool(shared_data)
    (before,) = preambles(task, items, pool, 1)
    assert pairs(task, items[0], before) == [(MMLU_1, f" {letter}") for letter in "ABCD"]


def test_mmlu_with_none_and_with_five(shared_data: Path) -> None:
    task = TASKS["mmlu"]
    items, pool = task.load(shared_data), task.pool(shared_data)
    none, five = (preambles(task, items, pool, shots) for shots in (0, 5))
    assert none[0] == "The following are multiple choice questions (with answers) about abstract algebra.\n\n"
    for item, before, after in zip(items, none, five, strict=True):
        assert item.subject.replace("_", " ") in before and after.startswith(before)
        assert after.count("\nAnswer: ") == 5 and after.endswith("\n\n")


@pytest.mark.parametrize("name", FIRST)
def test_first_item(name: str, shared_data: Path) -> None:
    item = TASKS[name].load(shared_data)[0]
    context, continuations = FIRST[name]
    assert pairs(TASKS[name], item, "") == [(context, one) for one in continuations]


def test_hellaswag_loses_its_brackets(shared_data: Path) -> None:
    """Rows of WikiHow: "[header] How to … [title] … [step] …"."""
    rows = [item for item in TASKS["hellaswag"].load(shared_data) if "How to" in item.contexts[0]]
    assert len(rows) > 1000
    assert not any("[" in text for item in rows for text in (*item.contexts, *item.choices))


def test_winogrande_scores_what_follows(shared_data: Path) -> None:
    item = TASKS["winogrande"].load(shared_data)[0]
    before = "Sarah was a much better surgeon than Maria so "
    after = " always got the easier cases."
    assert pairs(TASKS["winogrande"], item, "") == [(before + "Sarah", after), (before + "Maria", after)]
    assert item.answer == 1 and item.solved == (before + "Maria", after.strip())


def test_lambada_scores_the_word_with_its_blank(shared_data: Path) -> None:
    items = TASKS["lambada"].load(shared_data)
    ((context, word),) = pairs(TASKS["lambada"], items[0], "")
    assert context.endswith("I don't care about") and word == " signs"
    (before,) = preambles(TASKS["lambada"], items[:1], items[1:3], 1)
    assert before in [f"{one.contexts[0]}  {one.choices[0].strip()}\n\n" for one in items[1:3]]  # the harness's two


def test_gsm8k_with_an_example(shared_data: Path) -> None:
    items = TASKS["gsm8k"].load(shared_data)
    (before,) = preambles(TASKS["gsm8k"], items[:1], [items[1], items[1]], 1)
    assert before == (
        "Question: A robe takes 2 bolts of blue fiber and half that much white fiber.  How many bolts in total does it "
        "take?\nAnswer: It takes 2/2=<<2/2=1>>1 bolt of white fiber\nSo the total amount of fabric is "
        "2+1=<<2+1=3>>3 bolts of fabric\n#### 3\n\n"
    )
    assert items[0].contexts[0].endswith("at the farmers' market?\nAnswer:")


def plain(number: int) -> Item:
    return Item(f"p:{number}", number, (f"question {number}",), ("yes", "no"), number % 2)


def test_drawn_examples_are_those_of_the_sampler_and_never_the_question() -> None:
    """The harness's ContextSampler: k + 1 drawn, the question's own row left out, the first k kept."""
    pool = [plain(number) for number in range(12)]
    generator = Random(1234)
    for item, before in zip(pool, preambles(TASKS["piqa"], pool, pool, 3), strict=True):
        drawn = [one for one in generator.sample(pool, 4) if one != item][:3]
        assert before == "".join(f"{one.contexts[0]} {one.choices[one.answer]}\n\n" for one in drawn)
        assert item.contexts[0] + " " not in before


def test_examples_of_a_pool_apart() -> None:
    items, pool = [plain(number) for number in range(5)], [plain(number) for number in range(20, 29)]
    generator = Random(7)
    for before in preambles(TASKS["piqa"], items, pool, 2, seed=7):
        assert before == "".join(
            f"{one.contexts[0]} {one.choices[one.answer]}\n\n" for one in generator.sample(pool, 2)
        )


def test_too_few_examples_are_an_error(shared_data: Path) -> None:
    with pytest.raises(InputError, match="2 examples, more than 2 are needed"):
        preambles(TASKS["piqa"], [plain(1)], [plain(1), plain(2)], 2)
    task = TASKS["mmlu"]
    with pytest.raises(InputError, match="5 examples of abstract_algebra, 6 are wanted"):
        preambles(task, task.load(shared_data)[:1], task.pool(shared_data), 6)
