"""A model and a task: a record of each item, in the items' order."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..core.files import digest
from ..model.transformer import Transformer
from .items import Item
from .likelihood import MAX_TOKENS, Likelihood, log_likelihoods
from .prefixes import LEAST_SAVED
from .prompts import SEED, pairs, preambles
from .records import Record, RecordFile
from .requests import Request, encode_pairs
from .tasks import Task
from .text_tokenizer import TextTokenizer
from .writing import write_answers

PORTION = 512  # items between two writes: so many that those with the same examples meet
ANSWERS = 64  # the same where each item is generated

Asked = Sequence[tuple[Item, str]]  # items, and what stands before the question of each


def score(
    model: Transformer,
    tokenizer: TextTokenizer,
    task: Task,
    items: Sequence[Item],
    pool: Sequence[Item] = (),
    *,
    shots: int = 0,
    seed: int = SEED,
    path: Path | None = None,
    name: str = "",
    max_tokens: int = MAX_TOKENS,
) -> list[Record]:
    """Score all items of a task after `shots` examples from the pool.

    path: a file of records that grows while this runs; items that stand in it are not scored again. name says which
    model they are of. Raises ContractError where the file is of another model, tokenizer, prompts or shots.
    """
    before = preambles(task, items, pool, shots, seed)
    asked = [(item, preamble) for item, preamble in zip(items, before, strict=True)]
    if path is None:
        return score_asked(model, tokenizer, task, asked, max_tokens)
    file = RecordFile(path, about(model, tokenizer, task, asked, shots, name))
    for portion in portions(task, [one for one in asked if one[0].id not in file.records]):
        file.add(_scored(model, tokenizer, task, portion, max_tokens))
    return [file.records[item.id] for item in items]


def score_asked(
    model: Transformer,
    tokenizer: TextTokenizer,
    task: Task,
    asked: Asked,
    max_tokens: int = MAX_TOKENS,
    least_saved: int = LEAST_SAVED,
) -> list[Record]:
    """Score items whose preambles are known. max_tokens, least_saved: as of `log_likelihoods`."""
    return [
        record
        for portion in portions(task, asked)
        for record in _scored(model, tokenizer, task, portion, max_tokens, least_saved)
    ]


def about(
    model: Transformer, tokenizer: TextTokenizer, task: Task, asked: Asked, shots: int, name: str
) -> dict[str, object]:
    """What records are of: with all of it equal they are the same but for rounding."""
    prompts = digest([[item.id, item.answer, *pairs(task, item, preamble)] for item, preamble in asked])
    found: dict[str, object] = {"model": name, "task": task.name, "shots": shots, "tokenizer": tokenizer.digest}
    return found | {"context": model.config.context, "prompts": prompts}


def portions(task: Task, asked: Asked) -> Iterator[Asked]:
    size = ANSWERS if task.kind == "answer" else PORTION
    return (asked[begin : begin + size] for begin in range(0, len(asked), size))


def _scored(
    model: Transformer,
    tokenizer: TextTokenizer,
    task: Task,
    portion: Asked,
    max_tokens: int,
    least_saved: int = LEAST_SAVED,
) -> list[Record]:
    if task.kind == "answer":
        texts = write_answers(model, tokenizer, [preamble + item.contexts[0] for item, preamble in portion])
        return [Record.of(item, text=text) for (item, _), text in zip(portion, texts, strict=True)]
    asked = [pairs(task, item, preamble) for item, preamble in portion]
    requests = encode_pairs(tokenizer, [pair for one in asked for pair in one], model.config.context)
    found = log_likelihoods(model, requests, max_tokens, least_saved)
    answers = iter(zip(requests, found, strict=True))
    return [
        _record(item, *zip(*itertools.islice(answers, len(one)), strict=True))
        for (item, _), one in zip(portion, asked, strict=True)
    ]


def _record(item: Item, requests: Sequence[Request], likelihoods: Sequence[Likelihood]) -> Record:
    options = item.contexts if len(item.contexts) > 1 else item.choices
    return Record.of(
        item,
        log_likelihoods=tuple(one.log_likelihood for one in likelihoods),
        greedy=tuple(one.greedy for one in likelihoods),
        bytes=tuple(one.bytes for one in requests),
        lengths=tuple(len(one) for one in options),
        sizes=tuple(len(one.encode()) for one in options),
    )
