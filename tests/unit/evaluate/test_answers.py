"""GSM8K's answers: how a text is cut, and which number in it counts."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from crawl2chat.evaluate import answers
from crawl2chat.evaluate.answers import answer_text, flexible_extract, strict_match
from crawl2chat.evaluate.tasks import TASKS
from crawl2chat.model.generation import generate
from crawl2chat.model.transformer import Transformer
from crawl2chat.tokenize.bpe import Tokenizer

ANSWER = "She makes 9 * 2 = $<<9*2=18>>18,000 every day.\n#### 18,000"


@pytest.mark.parametrize(
    ("text", "strict", "flexible"),
    [
        ("So it is 18.\n#### 18,000", True, True),
        ("#### 18000\nand then 5 more", True, False),
        ("It is $18,000.", False, True),
        ("#### $18,000", False, True),  # the strict pattern begins with a digit
        ("#### 18,000.", True, True),
        ("#### 1 \n#### 18,000", False, True),
        ("#### -18,000", False, False),
        ("eighteen thousand", False, False),
        ("", False, False),
        ("18,000 is what she has, not 17", False, False),
    ],
)
def test_which_number_counts(text: str, strict: bool, flexible: bool) -> None:
    assert strict_match(text, ANSWER) is strict
    assert flexible_extract(text, ANSWER) is flexible


def test_the_real_answers_match_themselves(shared_data: Path) -> None:
    solutions = [item.choices[0] for item in TASKS["gsm8k"].load(shared_data)]
    assert all(strict_match(one, one) and flexible_extract(one, one) for one in solutions)
    assert sum(strict_match(a, b) for a, b in pairwise(solutions)) < 0.1 * len(solutions)


def test_the_text_is_the_greedy_one_up_to_a_stop(
    model: Transformer, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = "Question: What is an acid?\nAnswer:"
    whole = answer_text(model, tokenizer, prompt, max_tokens=30)
    ids = generate(model, tokenizer.encode(prompt), max_tokens=30, temperature=0, stop_ids=[tokenizer.end_of_text])
    assert whole == tokenizer.decode(list(ids)) and len(whole) > 10
    monkeypatch.setattr(answers, "UNTIL", (whole[5:7],))
    assert answer_text(model, tokenizer, prompt, max_tokens=30) == whole[: whole.index(whole[5:7])]


def test_a_long_prompt_leaves_room(model: Transformer, tokenizer: Tokenizer) -> None:
    """Half of this model's context is for the answer, and the prompt's end is kept."""
    long = "An acid is sour. " * 60
    kept = tokenizer.decode(tokenizer.encode(long)[-model.config.context // 2 :])
    assert answer_text(model, tokenizer, long) == answer_text(model, tokenizer, kept)
