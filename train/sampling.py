"""Answers drawn in groups: several continuations of one prompt side by side, over one KV cache.

G answers, V vocabulary, T tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..core.errors import InputError, StageError
from ..model.cache import KVCache
from ..model.transformer import Transformer


@torch.inference_mode()
def sample_group(
    model: Transformer, prompt: list[int], group: int, max_tokens: int, temperature: float, end: int, seed: int
) -> list[list[int]]:
    """`group` answers to a prompt, each with its `end` where it has one: the others stopped at `max_tokens`, or where
    the context is full. At temperature 0 the likeliest token is taken. The same arguments give the same ids. Raises
    InputError for a prompt that is longer than the context.
    """
    weight, context = model.embedding.weight, model.config.context
    steps = min(max_tokens, context - len(prompt) + 1)
    if steps < 1:
        raise InputError(
            f"a prompt has {len(prompt)} tokens, the model's context is {context}", "ask shorter questions"
        )
    cache = KVCache(model.config, group, len(prompt) + steps, weight.device, weight.dtype)
    generator = torch.Generator().manual_seed(seed)
    tokens_GT = torch.tensor([prompt] * group, device=weight.device)
    drawn: list[Tensor] = []
    done_G = torch.zeros(group, dtype=torch.bool)
    while len(drawn) < steps and not bool(done_G.all()):
        token_G = _draw(model(tokens_GT, cache, last_only=True)[:, -1].float().cpu(), temperature, generator)
        drawn.append(token_G)
        done_G |= token_G == end
        tokens_GT = token_G[:, None].to(weight.device)
    return [_up_to(row, end) for row in torch.stack(drawn, dim=1).tolist()]


def _draw(logits_GV: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    if not torch.isfinite(logits_GV).all():
        raise StageError("the model gives logits that are not finite", "its training diverged: lower the learning rate")
    if temperature == 0:
        return logits_GV.argmax(-1)
    return torch.multinomial((logits_GV / temperature).softmax(-1), 1, generator=generator)[:, 0]


def _up_to(ids: list[int], end: int) -> list[int]:
    return ids[: ids.index(end) + 1] if end in ids else ids
