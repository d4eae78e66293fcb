"""Preference pairs made of instruction pairs: the answer to a question is chosen over the answer to another one.

A model learns from them to answer what was asked. They need no data but the run's own, and are as many as questions.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .preference_rows import Pair

TRIES = 20


def made_pairs(path: Path, seed: int, beside: Sequence[Path] = ()) -> Iterator[Pair]:
    """A pair of each conversation of a file of the stage `instructions`, as far as another answer is found for it.

    The other answer is of another document, of this file or of one `beside`, and drawn by seed and line alone.
    """
    rows = _rows(path)
    others = [*rows, *(row for file in beside for row in _rows(file))]
    for number, row in enumerate(rows):
        question, answer = row["messages"]
        draw = random.Random(f"{seed}/{number}")
        for _ in range(TRIES):
            other = draw.choice(others)
            if other["doc_id"] != row["doc_id"] and other["messages"][1]["content"] != answer["content"]:
                rejected = other["messages"][1]["content"]
                yield Pair((question,), answer["content"], rejected, f"{path.name}:{number + 1}")
                break


def _rows(path: Path) -> list[dict[str, Any]]:
    lines = path.read_text(encoding="utf-8").split("\n")  # JSON strings may hold other line ends
    return [json.loads(line) for line in lines if line]
