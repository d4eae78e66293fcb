"""Attention itself: queries, keys and values of all heads in, their weighted values out, whatever shape the texts have.

B batch, T new tokens, S all tokens that a query may see, H query heads, G key/value heads, R = H / G, K head size.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .positions import Places


def attend(q_BHTK: Tensor, k_BGSK: Tensor, v_BGSK: Tensor, where: Places, scale: float | None) -> Tensor:
    """y_BHTK; each of the G key/value heads serves H / G query heads. `scale` of None is 1 / sqrt(K)."""
    heads, groups = q_BHTK.shape[1], k_BGSK.shape[1]
    if where.lengths is not None:
        return attend_apart(q_BHTK, k_BGSK, v_BGSK, where.lengths, groups < heads, scale)
    if groups < heads and q_BHTK.shape[2] == 1 and not where.causal:  # a group's heads as rows: its keys are read once
        q_BGRK = q_BHTK.squeeze(2).unflatten(1, (groups, -1))
        y_BGRK = F.scaled_dot_product_attention(q_BGRK, k_BGSK, v_BGSK, attn_mask=where.mask, scale=scale)
        return y_BGRK.flatten(1, 2).unsqueeze(2)
    return F.scaled_dot_product_attention(
        q_BHTK, k_BGSK, v_BGSK,
        attn_mask=where.mask, is_causal=where.causal, scale=scale, enable_gqa=groups < heads,
    )  # fmt: skip


def attend_apart(
    q_BHTK: Tensor, k_BGTK: Tensor, v_BGTK: Tensor, lengths: list[int], grouped: bool, scale: float | None
) -> Tensor:
    """Causal attention of each document on its own, without a mask. `lengths` sum to B · T.

    Documents are cut out by `split`, whose gradient is one concatenation; a slice's is of full size, nearly all zeros.
    """
    batch, tokens = q_BHTK.shape[0], q_BHTK.shape[2]
    pieces = [x.transpose(1, 2).flatten(0, 1).split(lengths) for x in (q_BHTK, k_BGTK, v_BGTK)]
    attended = [
        F.scaled_dot_product_attention(
            *(x_THK.transpose(0, 1)[None] for x_THK in document), is_causal=True, scale=scale, enable_gqa=grouped
        )
        for document in zip(*pieces, strict=True)
    ]
    return torch.cat(attended, dim=2)[0].transpose(0, 1).unflatten(0, (batch, tokens)).transpose(1, 2)
