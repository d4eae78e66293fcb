"""Drawing text from a model: prompt ids in, an iterator of new ids out, one forward step a token.

Of a prompt that is longer than the context the last half context is kept, with a warning, so that there is room for
an answer. When the context is full, generation stops: the model has never seen a later position.

T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import torch
from torch import Tensor

from ..core.errors import InputError, StageError
from ..core.log import log
from .cache import KVCache
from .transformer import Transformer


def generate(
    model: Transformer,
    prompt_ids: Sequence[int],
    *,
    max_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    stop_ids: Collection[int] = (),
    seed: int = 0,
    use_cache: bool = True,
) -> Iterator[int]:
    """New ids one by one, until max_tokens, a stop id (which is not yielded), or the end of the context.

    The same arguments give the same ids. Raises InputError for an empty prompt and settings out of range.
    """
    check_settings(max_tokens, temperature, top_k, top_p)
    if not prompt_ids:
        raise InputError("the prompt is empty", "give at least one token")
    context = model.config.context
    ids = list(prompt_ids)
    if len(ids) > context:
        ids = ids[-max(context // 2, 1) :]
        log.warning("prompt has %d tokens, the context %d: its last %d are kept", len(prompt_ids), context, len(ids))
    steps = min(max_tokens, context - len(ids) + 1)
    generator = torch.Generator().manual_seed(seed)
    following = _cached(model, ids) if use_cache else _uncached(model, ids)

    def draw() -> Iterator[int]:
        for _ in range(steps):
            token = sample(next(following), temperature, top_k, top_p, generator)
            if token in stop_ids:
                return
            yield token
            ids.append(token)

    return draw()


def sample(
    logits_V: Tensor, temperature: float, top_k: int | None, top_p: float | None, generator: torch.Generator
) -> int:
    """One id: the likeliest at temperature 0, else drawn from the softmax of what top-k and then top-p leave."""
    if not torch.isfinite(logits_V).all():
        raise StageError("the model gives logits that are not finite", "its training diverged: lower the learning rate")
    if temperature == 0:
        return int(logits_V.argmax())
    probabilities_V = restrict(logits_V / temperature, top_k, top_p).softmax(-1)
    return int(torch.multinomial(probabilities_V, 1, generator=generator))


def restrict(logits_V: Tensor, top_k: int | None, top_p: float | None) -> Tensor:
    """Logits with -inf for the ids that may not be drawn.

    top_k leaves the k likeliest (Fan et al. 2018); top_p the nucleus, the fewest likeliest ids whose probabilities
    reach p together (Holtzman et al. 2020). Of equal logits the lower id comes first, so that k means k.
    """
    keep = min(top_k or logits_V.numel(), logits_V.numel())
    if top_p is None and keep == logits_V.numel():
        return logits_V
    sorted_V, order_V = logits_V.sort(descending=True, stable=True)
    sorted_V[keep:] = -torch.inf
    if top_p is not None:
        probabilities_V = sorted_V.softmax(-1)
        before_V = probabilities_V.cumsum(-1) - probabilities_V
        sorted_V[1:][before_V[1:] >= top_p] = -torch.inf  # the likeliest always stays
    return torch.empty_like(sorted_V).scatter_(0, order_V, sorted_V)


def _cached(model: Transformer, ids: list[int]) -> Iterator[Tensor]:
    """Logits after `ids`, and after each token that the caller appends to it, reading every token once."""
    weight = model.embedding.weight
    cache = KVCache(model.config, device=weight.device, dtype=weight.dtype)
    while True:
        yield _last_logits(model, ids[cache.length :], cache)


def _uncached(model: Transformer, ids: list[int]) -> Iterator[Tensor]:
    """The same without memory: all tokens are read again at each step. For tests, and to see what the cache saves."""
    while True:
        yield _last_logits(model, ids, None)


@torch.inference_mode()
def _last_logits(model: Transformer, ids: Sequence[int], cache: KVCache | None) -> Tensor:
    tokens_BT = torch.tensor([ids], device=model.embedding.weight.device)
    return model(tokens_BT, cache, last_only=True)[0, -1].float().cpu()


def check_settings(max_tokens: int, temperature: float, top_k: int | None, top_p: float | None) -> None:
    """Raises InputError for a setting out of range."""
    for name, value, fits, wants in (
        ("max_tokens", max_tokens, max_tokens >= 1, "at least 1"),
        ("temperature", temperature, temperature >= 0, "0 (the likeliest token) or more"),
        ("top_k", top_k, top_k is None or top_k >= 1, "at least 1, or leave it out"),
        ("top_p", top_p, top_p is None or 0 < top_p <= 1, "above 0 and at most 1, or leave it out"),
    ):
        if not fits:
            raise InputError(f"{name} is {value}", f"give {wants}")
