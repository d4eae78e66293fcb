"""From records to figures: accuracies with intervals and chance, averages over subjects, bits per byte.

acc, acc_norm, acc_bytes      share of right items; macro: mean of the subjects' shares, micro: of all items
perplexity                    exp of the mean negative log-likelihood of an item's answer (LAMBADA)
bits_per_byte                 of the right answers, given their questions: sum of bits / sum of bytes
strict_match, flexible_extract  GSM8K's exact matches
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..core.errors import InputError
from .answers import flexible_extract, strict_match
from .intervals import bootstrap, wilson
from .items import Item
from .records import Record
from .tasks import Task


@dataclass(frozen=True)
class Figure:
    """A figure, its interval of 95 %, how many items it is of, and what guessing gives (None: there is no guessing)."""

    value: float
    low: float
    high: float
    items: int
    chance: float | None = None


def figures(task: Task, items: Sequence[Item], records: Sequence[Record]) -> dict[str, Figure]:
    """The task's figures by name; a task with subjects has `acc_macro` and `acc/SUBJECT` too.

    Raises InputError without records, and for an item without one or with another's.
    """
    if not records or [one.id for one in items] != [one.id for one in records]:
        raise InputError(f"{len(records)} records of {len(items)} items of {task.name}", "give each item's, in order")
    if task.kind == "answer":
        return {name: _share(right, 0.0) for name, right in _matches(items, records).items()}
    chance = 0.0 if task.kind == "word" else float(np.mean([1 / one.options for one in items]))
    names = [name for name in task.figures if name.startswith("acc")]
    found = {name: _share([getattr(one, name) for one in records], chance) for name in names}
    if "perplexity" in task.figures:
        found["perplexity"] = _perplexity(records)
    found["bits_per_byte"] = _bits_per_byte(records)
    return found | (_by_subject(items, records, chance) if task.by_subject else {})


def _share(right: Sequence[bool], chance: float | None) -> Figure:
    low, high = wilson(sum(right), len(right))
    return Figure(sum(right) / len(right), low, high, len(right), chance)


def _by_subject(items: Sequence[Item], records: Sequence[Record], chance: float) -> dict[str, Figure]:
    right: dict[str, list[bool]] = {}
    for item, record in zip(items, records, strict=True):
        right.setdefault(item.subject, []).append(record.acc)
    groups = [np.array(right[subject], dtype=np.float64)[:, None] for subject in sorted(right)]
    low, high = bootstrap(groups, lambda means: np.mean([one[:, 0] for one in means], axis=0))
    macro = float(np.mean([group.mean() for group in groups]))
    shares = {f"acc/{subject}": _share(right[subject], chance) for subject in sorted(right)}
    return {"acc_macro": Figure(macro, low, high, len(records), chance), **shares}


def _perplexity(records: Sequence[Record]) -> Figure:
    nats = np.array([[-one.right[0]] for one in records])
    low, high = bootstrap([nats], lambda means: np.exp(np.minimum(means[0][:, 0], 700.0)))
    return Figure(math.exp(min(nats.mean(), 700.0)), low, high, len(records))  # beyond, it is no number


def _bits_per_byte(records: Sequence[Record]) -> Figure:
    columns = np.array([[-one.right[0] / math.log(2), one.right[1]] for one in records])
    low, high = bootstrap([columns], lambda means: means[0][:, 0] / means[0][:, 1])
    bits, size = columns.sum(axis=0)
    return Figure(float(bits / size), low, high, len(records))


def _matches(items: Sequence[Item], records: Sequence[Record]) -> dict[str, list[bool]]:
    both = [(record.text, item.choices[0]) for item, record in zip(items, records, strict=True)]
    return {
        "strict_match": [strict_match(*one) for one in both],
        "flexible_extract": [flexible_extract(*one) for one in both],
    }
