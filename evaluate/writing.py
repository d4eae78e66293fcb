"""Answers that a model writes, many at once: greedy continuations of prompts, cut at stop strings.

Rows of a batch begin at the same place and read on together: while a longer prompt still has tokens of its own, it
takes these, and a shorter one what the model has written (as in Llama's `generation.py`, Touvron et al. 2023). So all
rows stand at one position, without padding and masks, and each has the logits that it has alone. Prompts of about the
same length stand in one batch; rows that have ended leave it.

B rows, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..core.errors import StageError
from ..model.cache import KVCache
from ..model.transformer import Transformer
from .answers import MAX_TOKENS, UNTIL
from .text_tokenizer import TextTokenizer

BATCH_TOKENS = 16_384  # of a batch: what its prompts and answers can come to
MAX_ROWS = 64


@dataclass
class _Row:
    number: int
    prompt: list[int]
    written: list[int] = field(default_factory=list)
    text: str | None = None  # once it has ended


def write_answers(
    model: Transformer,
    tokenizer: TextTokenizer,
    prompts: Sequence[str],
    max_tokens: int = MAX_TOKENS,
    until: Sequence[str] = UNTIL,
    batch_tokens: int = BATCH_TOKENS,
) -> list[str]:
    """What the model writes greedily after each prompt: see `written_answers`."""
    found = dict(written_answers(model, tokenizer, prompts, max_tokens, until, batch_tokens))
    return [found[number] for number in range(len(prompts))]


def written_answers(
    model: Transformer,
    tokenizer: TextTokenizer,
    prompts: Sequence[str],
    max_tokens: int = MAX_TOKENS,
    until: Sequence[str] = UNTIL,
    batch_tokens: int = BATCH_TOKENS,
    known: Collection[int] = (),
) -> Iterator[tuple[int, str]]:
    """(number of the prompt, what the model writes after it), as each is done. An answer goes up to a stop string, one
    of the tokenizer's stop_ids, or max_tokens.

    A prompt that leaves too little room loses its beginning; where the model's whole context is no more than twice
    max_tokens (lm-evaluation-harness refuses it below once), half of it is room. An empty prompt is the tokenizer's
    prefix_id. Batches are the same whatever is `known`; one of these alone is left out.
    """
    context = model.config.context
    room = max(1, min(max_tokens, context // 2))
    encoded = tokenizer.encode_batch(list(prompts))
    rows = [_Row(n, (ids or [tokenizer.prefix_id])[-(context - room) :]) for n, ids in enumerate(encoded)]
    for batch in _batches(rows, room, batch_tokens):
        if any(row.number not in known for row in batch):
            for row in _write(model, tokenizer, batch, room, [one for one in until if one]):
                yield row.number, row.text or ""


def _batches(rows: Sequence[_Row], room: int, batch_tokens: int) -> Iterator[list[_Row]]:
    """Long prompts first: what does not fit in memory fails at once."""
    batch: list[_Row] = []
    for row in sorted(rows, key=lambda row: -len(row.prompt)):
        if batch and (len(batch) == MAX_ROWS or (len(batch) + 1) * (len(batch[0].prompt) + room) > batch_tokens):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


@torch.no_grad()
def _write(
    model: Transformer, tokenizer: TextTokenizer, rows: list[_Row], room: int, until: Sequence[str]
) -> Iterator[_Row]:
    """The rows of a batch, each when it has ended."""
    weight = model.embedding.weight
    longest = max(len(row.prompt) for row in rows)
    cache = KVCache(model.config, len(rows), longest + room, device=weight.device, dtype=weight.dtype)
    width = min(len(row.prompt) for row in rows)
    read = [row.prompt[:width] for row in rows]
    while rows:
        logits_BV = model(torch.tensor(read, device=weight.device), cache, last_only=True)[:, -1]
        _check(logits_BV)
        place = cache.length
        following = logits_BV.argmax(-1).tolist()
        for row, token in zip(rows, following, strict=True):
            if place >= len(row.prompt):
                _take(row, token, tokenizer, room, until)
        yield from (row for row in rows if row.text is not None)
        going = [number for number, row in enumerate(rows) if row.text is None]
        if len(going) < len(rows):
            cache = _kept(cache, going)
            rows = [rows[number] for number in going]
        read = [[row.prompt[place] if place < len(row.prompt) else row.written[-1]] for row in rows]


def _take(row: _Row, token: int, tokenizer: TextTokenizer, room: int, until: Sequence[str]) -> None:
    """Append a token, and end the row where that ends it."""
    ended = token in tokenizer.stop_ids  # decoding would drop it, and the answer run on
    if not ended:
        row.written.append(token)
    tail = tokenizer.decode(row.written[-_reach(until) :])
    if ended or len(row.written) == room or any(stop in tail for stop in until):
        row.text = tokenizer.decode(row.written)
        for stop in until:
            row.text = row.text.split(stop)[0]


def _reach(until: Sequence[str]) -> int:
    """Tokens at the end of which a stop string that the last one completes must lie: each has a byte or more, and two
    more for what a decoder does with the first of a text."""
    return max([len(stop.encode()) for stop in until], default=0) + 2


def _kept(cache: KVCache, rows: Sequence[int]) -> KVCache:
    """The cache of some of its rows."""
    chosen = torch.tensor(rows, dtype=torch.long, device=cache.keys_LBGSK.device)
    cache.keys_LBGSK = cache.keys_LBGSK.index_select(1, chosen)
    cache.values_LBGSK = cache.values_LBGSK.index_select(1, chosen)
    return cache


def _check(logits_BV: Tensor) -> None:
    if not torch.isfinite(logits_BV).all():
        raise StageError("the model gives logits that are not finite", "its training diverged: take another")
