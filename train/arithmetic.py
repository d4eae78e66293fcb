"""Arithmetic problems by seed, in the manner of GSM8K (Cobbe et al. 2021): a short story, and a number to answer with.

    Ann has 4 apples. Ann buys 5 more. How many apples does Ann have?        9

What an answer comes to is the number behind its last `####`, as GSM8K writes it, and else the last number in it. The
reward is 1 where that is the problem's number, and 0 where it is another or none: nothing else is looked at.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from ..tokenize.bpe import Tokenizer
from ..tokenize.chat_templates import make_template

NAMES = ("Ann", "Ben", "Eva", "Tom", "Mia", "Max", "Lea", "Sam")
THINGS = ("apples", "books", "coins", "pens", "eggs", "cards", "stones", "cups")
NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


class Task(Protocol):
    """What answers are sampled to, and what they are worth. It travels to the workers by pickle."""

    @property
    def end(self) -> int:
        """The token with which an answer ends."""
        ...

    def prompt(self, number: int) -> list[int]:
        """The ids that an answer follows."""
        ...

    def reward(self, number: int, answer: list[int]) -> float:
        """Of an answer's ids, without the end."""
        ...


@dataclass(frozen=True)
class Problem:
    question: str
    answer: int


@dataclass(frozen=True)
class Arithmetic:
    """The problems 0, 1, 2, … of a seed, in a model's chat template."""

    tokenizer: Tokenizer
    template: Mapping[str, Any] | None  # tokenize/chat_templates.py
    end: int
    seed: int
    steps: int = 1  # operations that a problem takes
    largest: int = 9  # number in a problem

    def prompt(self, number: int) -> list[int]:
        question = problem(self.seed, number, self.steps, self.largest).question
        template = make_template(self.template, self.tokenizer)
        return template.encode([{"role": "user", "content": question}], generation_prompt=True)[0]

    def reward(self, number: int, answer: list[int]) -> float:
        found = number_in(self.tokenizer.decode(answer))
        return float(found == problem(self.seed, number, self.steps, self.largest).answer)


def problem(seed: int, number: int, steps: int, largest: int) -> Problem:
    """A problem of `steps` operations on numbers up to `largest`; what is there never falls below 0."""
    draw = random.Random(f"{seed}/{number}")
    name, thing, have = draw.choice(NAMES), draw.choice(THINGS), draw.randint(1, largest)
    story = [f"{name} has {have} {thing}."]
    for _ in range(steps):
        if have and draw.random() < 0.5:
            some = draw.randint(1, min(have, largest))
            have -= some
            story.append(f"{name} gives away {some}.")
        else:
            some = draw.randint(1, largest)
            have += some
            story.append(f"{name} buys {some} more.")
    return Problem(" ".join([*story, f"How many {thing} does {name} have?"]), have)


def number_in(text: str) -> Decimal | None:
    """What an answer comes to; None where there is no number."""
    _, mark, behind = text.rpartition("####")
    found = NUMBER.findall(behind if mark else text)
    if not found:
        return None
    return Decimal((found[0] if mark else found[-1]).replace(",", ""))
