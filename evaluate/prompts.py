"""Prompts: a description, k solved examples, the question; equal to lm-evaluation-harness's to the character.

Examples are the first k of the subject (MMLU: the harness's sampler `first_n`), or k that are drawn for each item as
the harness's default sampler draws them: with the same pool and the same items in the same order, the same examples.

In a conversation the description is the system's message, and each example a question and an answer of its own: the
harness's `apply_chat_template` with `fewshot_as_multiturn`, which its command line has by default.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from ..core.errors import InputError
from .items import Item
from .tasks import Task

SEED = 1234  # the harness's `fewshot_random_seed`
BETWEEN = "\n\n"  # its `fewshot_delimiter`
Turns = tuple[tuple[str, str], ...]  # (role, content), …
Chat = Callable[[Sequence[dict[str, str]]], str]  # a conversation as text, up to where the answer begins


def preambles(task: Task, items: Sequence[Item], pool: Sequence[Item], shots: int, seed: int = SEED) -> list[str]:
    """What stands before the question of each item. Raises InputError where the pool has too few examples."""
    solved = {id(one): _solved(one) for one in pool}
    known: dict[str, str] = {}  # one string for all items of a subject
    found = (
        task.description(item) + "".join(solved[id(one)] for one in chosen)
        for item, chosen in zip(items, _examples(task, items, pool, shots, seed), strict=True)
    )
    return [known.setdefault(one, one) for one in found]


def turns(task: Task, items: Sequence[Item], pool: Sequence[Item], shots: int, seed: int = SEED) -> list[Turns]:
    """The same as the beginning of a conversation."""
    solved = {id(one): (("user", one.solved[0]), ("assistant", one.solved[1])) for one in pool}
    begins = [(("system", about),) if (about := task.description(item)) else () for item in items]
    return [
        (*begin, *(turn for one in chosen for turn in solved[id(one)]))
        for begin, chosen in zip(begins, _examples(task, items, pool, shots, seed), strict=True)
    ]


def pairs(task: Task, item: Item, preamble: str) -> list[tuple[str, str]]:
    """(context, continuation) of each answer, in the order of the item's choices or contexts."""
    return [
        (preamble + context, task.delimiter + choice) for context in item.contexts for choice in item.choices
    ]  # of which one side has a single entry


def chat_pairs(item: Item, before: Turns, chat: Chat) -> list[tuple[str, str]]:
    """The same where the item is asked in a conversation; no delimiter stands before an answer there."""
    begun = [{"role": role, "content": content} for role, content in before]
    contexts = [chat([*begun, {"role": "user", "content": context}]) for context in item.contexts]
    return [(context, choice) for context in contexts for choice in item.choices]


def _examples(task: Task, items: Sequence[Item], pool: Sequence[Item], shots: int, seed: int) -> list[list[Item]]:
    return _of_subject(items, pool, shots) if task.by_subject else _drawn(items, pool, shots, seed)


def _solved(item: Item) -> str:
    """An example. The blank stands there even where the scored continuation has no delimiter (LAMBADA)."""
    return " ".join(item.solved) + BETWEEN


def _of_subject(items: Sequence[Item], pool: Sequence[Item], shots: int) -> list[list[Item]]:
    by_subject: dict[str, list[Item]] = {}
    for one in pool if shots else ():
        by_subject.setdefault(one.subject, []).append(one)
    for subject in {item.subject for item in items} if shots else ():
        if (found := len(by_subject.get(subject, ()))) < shots:
            raise InputError(f"{found} examples of {subject}, {shots} are wanted", "ask for fewer shots")
    return [by_subject.get(item.subject, [])[:shots] for item in items]


def _drawn(items: Sequence[Item], pool: Sequence[Item], shots: int, seed: int) -> list[list[Item]]:
    """One generator draws for all items in turn. An item that lies in the pool itself is no example of itself, nor is
    a copy of it: one more is drawn then, as the harness does, and of equal rows all are left out."""
    if not shots:
        return [[] for _ in items]
    if len(pool) <= shots:
        raise InputError(f"{len(pool)} examples, more than {shots} are needed", "ask for fewer shots")
    generator, same = Random(seed), {_asked(one) for one in pool}
    drawn = []
    for item in items:
        if _asked(item) not in same:
            drawn.append(generator.sample(pool, shots))
            continue
        others = [one for one in generator.sample(pool, shots + 1) if _asked(one) != _asked(item)][:shots]
        if len(others) < shots:
            others = generator.sample([one for one in pool if _asked(one) != _asked(item)], shots)
        drawn.append(others)
    return drawn


def _asked(item: Item) -> tuple[object, ...]:
    return item.contexts, item.choices, item.answer
