"""Log-likelihoods of continuations, many at once.

Equal inputs are read once, as the one-token answers of MMLU; common beginnings once (prefixes.py); rows of about the
same length stand in one batch, padded behind, where causal attention does not look. Only the places that predict a
continuation reach the head: logits of all would be a hundred times as many numbers.

B rows, T tokens, N places that are asked for, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

from ..core.errors import StageError
from ..model.cache import KVCache
from ..model.transformer import Transformer
from .prefixes import LEAST_SAVED, Ids, SharedCache, families
from .requests import Request

MAX_TOKENS = 4096  # of a batch, padding included
MAX_LOGITS = 1 << 26  # of a batch: 256 MiB


class Likelihood(NamedTuple):
    """log_likelihood: the sum over the tokens, in nats; greedy: whether each token is the likeliest at its place."""

    log_likelihood: float
    greedy: bool


class _Asked(NamedTuple):
    """The tokens of a row that a forward reads, and the requests that it answers, with their numbers."""

    tokens: Ids
    requests: list[tuple[int, Request]]
    places: int  # at the row's end, that are asked for


def log_likelihoods(
    model: Transformer, requests: Sequence[Request], max_tokens: int = MAX_TOKENS, least_saved: int = LEAST_SAVED
) -> list[Likelihood]:
    """One for each request, in their order. Raises StageError for logits that are not finite."""
    found: dict[int, Likelihood] = {}
    for some in batches_of_likelihoods(model, requests, max_tokens, least_saved):
        found |= some
    return [found[number] for number in range(len(requests))]


@torch.no_grad()  # not inference mode: weights that FSDP gathers in it could not be trained on
def batches_of_likelihoods(
    model: Transformer,
    requests: Sequence[Request],
    max_tokens: int = MAX_TOKENS,
    least_saved: int = LEAST_SAVED,
    known: Collection[int] = (),
) -> Iterator[dict[int, Likelihood]]:
    """The same batch by batch, by the requests' numbers. Those that are `known` stand in the batches where they would
    stand, and a batch of them alone is left out: so all others get the same bits, whatever is known already."""
    by_inputs: dict[Ids, list[tuple[int, Request]]] = {}
    for number, request in enumerate(requests):
        by_inputs.setdefault(request.inputs, []).append((number, request))
    rows = [
        _Asked(inputs, by_inputs[inputs], max(len(request.targets) for _, request in by_inputs[inputs]))
        for inputs in sorted(by_inputs)
    ]
    limits = [len(row.tokens) - row.places for row in rows]
    alone: list[_Asked] = []
    for family in families([row.tokens for row in rows], limits, least_saved):
        members = rows[family.start : family.stop]
        if not family.prefix:
            alone += members
            continue
        behind = [row._replace(tokens=row.tokens[family.prefix :]) for row in members]
        yield from _score(model, behind, members[0].tokens[: family.prefix], max_tokens, known)
    yield from _score(model, alone, (), max_tokens, known)


def _read(model: Transformer, prefix: Ids) -> SharedCache:
    weight = model.embedding.weight
    cache = KVCache(model.config, capacity=len(prefix), device=weight.device, dtype=weight.dtype)
    model(torch.tensor([prefix], device=weight.device), cache, last_only=True)
    return SharedCache(cache)


def _score(
    model: Transformer, rows: list[_Asked], prefix: Ids, max_tokens: int, known: Collection[int]
) -> Iterator[dict[int, Likelihood]]:
    """The batches of rows behind the same prefix, which is read once, if anything is asked of it."""
    cache: SharedCache | None = None
    for batch in _batches(rows, max_tokens, model.config.vocab_size):
        if all(number in known for row in batch for number, _ in row.requests):
            continue
        if prefix and cache is None:
            cache = _read(model, prefix)
        found: dict[int, Likelihood] = {}
        logits = _logits(model, batch, cache).split([row.places for row in batch])
        for row, logits_NV in zip(batch, logits, strict=True):
            log_p_NV = logits_NV.float().log_softmax(-1)
            if not torch.isfinite(log_p_NV).all():
                raise StageError("the model gives logits that are not finite", "its training diverged: take another")
            for number, request in row.requests:
                found[number] = _likelihood(log_p_NV[-len(request.targets) :], request.targets)
        yield found


def _likelihood(log_p_NV: Tensor, targets: Ids) -> Likelihood:
    targets_N = torch.tensor(targets, device=log_p_NV.device)
    chosen_N = log_p_NV.gather(1, targets_N[:, None])[:, 0]
    return Likelihood(float(chosen_N.double().sum()), bool((log_p_NV.argmax(-1) == targets_N).all()))


def _batches(rows: list[_Asked], max_tokens: int, vocabulary: int) -> Iterator[list[_Asked]]:
    """Long rows first: what does not fit in memory fails at once."""
    batch: list[_Asked] = []
    places = 0
    for row in sorted(rows, key=lambda row: -len(row.tokens)):
        full = batch and (len(batch) + 1) * len(batch[0].tokens) > max_tokens
        if full or (batch and (places + row.places) * vocabulary > MAX_LOGITS):
            yield batch
            batch, places = [], 0
        batch.append(row)
        places += row.places
    if batch:
        yield batch


def _logits(model: Transformer, batch: list[_Asked], cache: SharedCache | None) -> Tensor:
    """logits_NV of the places that the rows ask for, row after row."""
    device, width = model.embedding.weight.device, len(batch[0].tokens)
    padded = [[*row.tokens, *[0] * (width - len(row.tokens))] for row in batch]
    rows_N = [number for number, row in enumerate(batch) for _ in range(row.places)]
    places_N = [place for row in batch for place in range(len(row.tokens) - row.places, len(row.tokens))]
    with _only(model, torch.tensor(rows_N, device=device), torch.tensor(places_N, device=device)):
        return model(torch.tensor(padded, device=device), cache)[0]


@contextmanager
def _only(model: Transformer, rows_N: Tensor, places_N: Tensor) -> Iterator[None]:
    """Within, the model's last norm and its head see these places alone, as a batch of one row."""
    hook = model.norm.register_forward_pre_hook(lambda _, inputs: (inputs[0][rows_N, places_N][None],))
    try:
        yield
    finally:
        hook.remove()
