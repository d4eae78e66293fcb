"""A model and a task: a record of each item, in the items' order."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from ..core.files import digest
from ..model.transformer import Transformer
from ..tokenize.bpe import Tokenizer
from .answers import answer_text
from .items import Item
from .likelihood import MAX_TOKENS, Likelihood, log_likelihoods
from .prompts import SEED, pairs, preambles
from .records import Record, RecordFile
from .requests import Request, encode_pairs
from .tasks import Task

PORTION = 512  # items between two writes: so many that those with the same examples meet
ANSWERS = 8  # the same where each item is generated


def score(
    model: Transformer,
    tokenizer: Tokenizer,
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
    file = None
    if path is not None:
        about = {"model": name, "task": task.name, "shots": shots, "tokenizer": tokenizer.digest}
        file = RecordFile(path, about | {"context": model.config.context, "prompts": _prompts(task, asked)})
        asked = [one for one in asked if one[0].id not in file.records]
    done: dict[str, Record] = {}
    size = ANSWERS if task.kind == "answer" else PORTION
    for portion in (asked[begin : begin + size] for begin in range(0, len(asked), size)):
        records = _scored(model, tokenizer, task, portion, max_tokens)
        done |= {one.id: one for one in records}
        if file is not None:
            file.add(records)
    known = done if file is None else file.records
    return [known[item.id] for item in items]


def _prompts(task: Task, asked: Sequence[tuple[Item, str]]) -> str:
    """A digest of everything that the model is asked."""
    return digest([[item.id, item.answer, *pairs(task, item, preamble)] for item, preamble in asked])


def _scored(
    model: Transformer, tokenizer: Tokenizer, task: Task, portion: Sequence[tuple[Item, str]], max_tokens: int
) -> list[Record]:
    if task.kind == "answer":
        return [
            Record.of(item, text=answer_text(model, tokenizer, preamble + item.contexts[0]))
            for item, preamble in portion
        ]
    asked = [pairs(task, item, preamble) for item, preamble in portion]
    requests = encode_pairs(tokenizer, [pair for one in asked for pair in one], model.config.context)
    answers = iter(zip(requests, log_likelihoods(model, requests, max_tokens), strict=True))
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
