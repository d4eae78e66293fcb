"""Whether a model could score all that it is going to be asked, before any weight is read."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.errors import InputError
from .asking import Asking, read_questions
from .models import ModelFiles, context_of, tokenizer_of
from .requests import encode_pairs
from .scoring import asked_pairs


def check_fits(files: ModelFiles, asked: Sequence[Asking]) -> None:
    """Raise InputError naming model and task for a continuation that is longer than the model's context.

    A token stands for a byte at least, so that only what has more bytes than the context has tokens is encoded: over
    all items of all tasks that is little or nothing.
    """
    context, tokenizer = context_of(files), tokenizer_of(files)
    for asking in asked:
        questions = read_questions(asking)
        if questions.task.kind == "answer":
            continue  # of a prompt the end is kept
        pairs = (
            pair
            for item, before in questions.part(0, len(questions))
            for pair in asked_pairs(tokenizer, questions.task, item, before)
        )
        long = [pair for pair in pairs if _bytes(*pair) > context]
        try:
            encode_pairs(tokenizer, long, context)
        except InputError as error:
            raise InputError(f"{files.name}, {asking.task}: {error.message}", error.fix) from error


def _bytes(before: str, after: str) -> int:
    """Of the continuation, with the blanks that go over to it (requests.py)."""
    return len(before) - len(before.rstrip()) + len(after.encode())
