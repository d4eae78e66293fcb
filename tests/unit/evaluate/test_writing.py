"""Answers written in batches: each is the text that the model writes after its prompt alone."""

from __future__ import annotations

import re

import pytest
import torch
from crawl2chat.core.errors import StageError
from crawl2chat.evaluate.writing import write_answers, written_answers
from crawl2chat.model.generation import generate
from crawl2chat.model.transformer import Transformer
from crawl2chat.tokenize.bpe import Tokenizer

PROMPTS = [
    "Question: What is an acid?\nAnswer:",
    "The",
    "The history of it is long, the answer is",
    "An acid is sour and short. " * 6,
    "Is it long?",
    "The history",
    "",
    "漢字 🙂",
]


def alone(model: Transformer, tokenizer: Tokenizer, prompt: str, length: int) -> str:
    ids = tokenizer.encode(prompt) or [tokenizer.end_of_text]
    written = generate(model, ids, max_tokens=length, temperature=0, stop_ids=[tokenizer.end_of_text], use_cache=False)
    return tokenizer.decode(list(written))


@pytest.mark.parametrize("batch_tokens", [1, 150, 100_000])
def test_a_batch_writes_what_each_prompt_alone_gives(
    model: Transformer, tokenizer: Tokenizer, batch_tokens: int
) -> None:
    wanted = [alone(model, tokenizer, prompt, 30) for prompt in PROMPTS]
    assert len(set(wanted)) > 4, "the prompts matter"
    assert write_answers(model, tokenizer, PROMPTS, 30, (), batch_tokens) == wanted


def test_rows_that_end_leave_the_batch(model: Transformer, tokenizer: Tokenizer) -> None:
    """A stop string that some texts have early: these are cut there, the others go on as they would alone."""
    wanted = [alone(model, tokenizer, prompt, 30) for prompt in PROMPTS]
    stop = next(found.group() for text in wanted for found in re.finditer("[!-~]{2}", text))
    rows: list[int] = []
    hook = model.embedding.register_forward_pre_hook(lambda _, inputs: rows.append(inputs[0].shape[0]))
    try:
        found = write_answers(model, tokenizer, PROMPTS, 30, (stop, "no such text"))
    finally:
        hook.remove()
    assert found == [text.split(stop)[0] for text in wanted]
    assert rows[0] == len(PROMPTS) and min(rows) < len(PROMPTS)
    assert rows == sorted(rows, reverse=True)


def test_the_end_of_text_ends_an_answer(model: Transformer, tokenizer: Tokenizer) -> None:
    """A token that comes later, for the first time, is made the end of text."""
    written = {one: list(generate(model, tokenizer.encode(one), max_tokens=12, temperature=0)) for one in PROMPTS[:6]}
    prompt, place = next(
        (one, n) for one, ids in written.items() for n, token in enumerate(ids) if n and token not in ids[:n]
    )
    ids = written[prompt]

    class Ends:
        prefix_id, stop_ids = tokenizer.end_of_text, frozenset([tokenizer.vocab_size, ids[place]])
        encode_batch, decode = tokenizer.encode_batch, tokenizer.decode

    assert write_answers(model, Ends(), [prompt], 12) == [tokenizer.decode(ids[:place])]  # type: ignore[arg-type]


def test_answers_come_as_they_end_and_known_batches_are_left_out(model: Transformer, tokenizer: Tokenizer) -> None:
    wanted = write_answers(model, tokenizer, PROMPTS, 20, ("e",), batch_tokens=100)
    found = list(written_answers(model, tokenizer, PROMPTS, 20, ("e",), 100))
    assert dict(found) == dict(enumerate(wanted)) and len(found) == len(PROMPTS)
    first = {number for number, _ in found[:1]}
    longest = max(range(len(PROMPTS)), key=lambda n: len(tokenizer.encode(PROMPTS[n])))
    assert first == {longest}, "a batch of its own, and the first"
    rest = dict(written_answers(model, tokenizer, PROMPTS, 20, ("e",), 100, known=first))
    assert rest == {number: text for number, text in enumerate(wanted) if number != longest}


def test_a_long_prompt_leaves_room(model: Transformer, tokenizer: Tokenizer) -> None:
    """Half of this model's context is for the answer, and the prompt's end is kept."""
    long = "An acid is sour. " * 60
    kept = tokenizer.decode(tokenizer.encode(long)[-model.config.context // 2 :])
    assert write_answers(model, tokenizer, [long]) == write_answers(model, tokenizer, [kept])


def test_logits_that_are_not_finite_are_an_error(model: Transformer, tokenizer: Tokenizer) -> None:
    hook = model.norm.register_forward_hook(lambda _, __, output: output * torch.nan)
    try:
        with pytest.raises(StageError, match="not finite"):
            write_answers(model, tokenizer, ["The"])
    finally:
        hook.remove()
