"""Where tokens stand: positions, what they mean for each family, and which tokens a query may see.

A row may hold several documents, one after the other (`documents_BT`, a number a token): then each counts its positions
from 0, and no query sees a key of another document. Without, a row is one text.

B batch, T new tokens, S all tokens that a query may see, D width, H heads, K head size, R = K / 2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from .config import ModelConfig, RopeScaling


@dataclass(frozen=True)
class Places:
    """What all blocks share about the tokens' places.

    A plain object on purpose: FSDP's mixed precision casts tensors among a block's arguments, and angles need float32.
    """

    position: Tensor  # int64 [T], or [B, T] where documents begin at places of their own
    turn: tuple[Tensor, Tensor] | None  # cosine and sine of the rotation, [T, 1, R] or [B, T, 1, R]; None: no rotation
    # What a query may see, where `causal` does not say it: bool, or -inf for hidden and 0; [T, S] or [B, 1, T, S].
    mask: Tensor | None = None
    causal: bool = False
    lengths: list[int] | None = None  # of the documents, row after row: each is attended on its own, in place of a mask


def places(
    config: ModelConfig,
    tokens_BT: Tensor,
    past: int = 0,
    documents_BT: Tensor | None = None,
    split: bool = False,
) -> Places:
    """The places of tokens that follow `past` others which a cache holds.

    With documents, `split` gives their lengths and leaves the mask out: attention then costs the sum of their squares
    and a call a document. A mask costs the square of the row, and keeps shapes fixed, for compilers.
    """
    new, device = tokens_BT.shape[1], tokens_BT.device
    if documents_BT is None:
        position = torch.arange(past, past + new, device=device)
        mask = None
        if past and new > 1:  # is_causal would align the first query with the first key
            mask = torch.ones(new, past + new, dtype=torch.bool, device=device).tril(past)
        return Places(position, _turn(config, position[..., None]), mask, causal=past == 0 and new > 1)
    assert past == 0, "documents are for whole rows, a cache holds one text"
    begins_BT = torch.ones_like(documents_BT, dtype=torch.bool)
    begins_BT[:, 1:] = documents_BT[:, 1:] != documents_BT[:, :-1]
    place_T = torch.arange(new, device=device)
    position = place_T - torch.where(begins_BT, place_T, 0).cummax(1).values
    turn = _turn(config, position[..., None])
    if split:
        borders = [*begins_BT.flatten().nonzero().flatten().tolist(), begins_BT.numel()]
        return Places(position, turn, lengths=[stop - start for start, stop in pairwise(borders)])
    number_BT = begins_BT.cumsum(1)
    mask = (number_BT[:, None, :, None] == number_BT[:, None, None, :]) & (place_T[:, None] >= place_T)
    return Places(position, turn, mask)


def places_at(config: ModelConfig, position_BT: Tensor, mask: Tensor | None) -> Places:
    """The places of tokens whose positions and mask the caller knows."""
    return Places(position_BT, _turn(config, position_BT[..., None]), mask)


def document_numbers(tokens_BT: Tensor, begin: int) -> Tensor:
    """documents_BT of rows in which every document begins with the token `begin`: a tokenizer's end-of-text, which
    stands before a document as well as behind the one before. int64 [B, T]."""
    return (tokens_BT == begin).cumsum(1)


def rotate(x_BTHK: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Turn the pair (x[i], x[i + K/2]) of every head by its position's angle: scores then depend on distances alone."""
    left, right = x_BTHK.chunk(2, dim=-1)
    cos, sin = turn
    return torch.cat((left * cos - right * sin, right * cos + left * sin), dim=-1).type_as(x_BTHK)


def sinusoids(position: Tensor, width: int, theta: float) -> Tensor:
    """sin(p / theta^(2i/D)) at component 2i, the cosine at 2i + 1 (Vaswani et al. 2017, 3.5). float32 […, D]."""
    angles = position[..., None].float() * frequencies(width, theta, position.device)
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(-2)


def _turn(config: ModelConfig, position: Tensor) -> tuple[Tensor, Tensor] | None:
    """float32, each of the positions' shape with R behind it."""
    if config.positions != "rotary":
        return None
    frequencies_R = frequencies(config.head_size, config.rope_theta, position.device)
    if config.rope_scaling is not None:
        frequencies_R = stretched(frequencies_R, config.rope_scaling)
    angles = position[..., None].float() * frequencies_R
    return angles.cos(), angles.sin()


def frequencies(size: int, theta: float, device: torch.device) -> Tensor:
    """theta^(-2i/size) for i of 0 … size / 2 - 1."""
    half = size // 2
    return theta ** (-torch.arange(half, device=device, dtype=torch.float32) / half)


def stretched(frequencies_R: Tensor, scaling: RopeScaling) -> Tensor:
    turns_R = scaling.original_context * frequencies_R / (2 * math.pi)  # that a component makes in the first context
    kept_R = (turns_R - scaling.low_frequency) / (scaling.high_frequency - scaling.low_frequency)
    kept_R = kept_R.clamp(0, 1)
    return kept_R * frequencies_R + (1 - kept_R) * frequencies_R / scaling.factor
