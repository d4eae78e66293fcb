"""The decoder-only transformer: token ids in, logits of the next token out.

Pre-norm blocks of RMSNorm (Zhang & Sennrich 2019), causal attention with grouped queries (Ainslie et al. 2023), rotary
positions (Su et al. 2021; halves rotated as in Llama and Qwen3), optional RMSNorm on queries and keys (Dehghani et al.
2023), SwiGLU (Shazeer 2020); no biases. Weights have the shapes of Hugging Face's Llama and Qwen3: export is renaming.

No parameter belongs to two blocks, and the tied head is the root's own embedding: blocks and root can each be given to
FSDP2's `fully_shard`. Rotary tables are computed from the positions at every forward: no buffer to shard, move or save.

B batch, T new tokens, S all tokens a query may see, D width, H query heads, G key/value heads, K head size,
F inner width of SwiGLU, V vocabulary, R = K / 2.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from .cache import KVCache
from .config import ModelConfig


@dataclass(frozen=True)
class Positions:
    """What all blocks share about the tokens' places: cosines and sines of the rotation, and the mask, if needed.

    A plain object on purpose: FSDP's mixed precision casts tensors among a block's arguments, and angles need float32.
    """

    cos_TR: Tensor
    sin_TR: Tensor
    mask_TS: Tensor | None
    causal: bool


class Transformer(nn.Module):
    """forward(tokens_BT) gives logits_BTV; with a cache the tokens continue what the cache has read."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.width)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.layers))
        self.norm = nn.RMSNorm(config.width, eps=config.norm_eps)
        self.head = None if config.tied_embeddings else nn.Linear(config.width, config.vocab_size, bias=False)

    def forward(self, tokens_BT: Tensor, cache: KVCache | None = None, last_only: bool = False) -> Tensor:
        """Logits of every token's successor; of the last token's alone (T = 1) with `last_only`."""
        past = cache.length if cache is not None else 0
        places = _positions(self.config, past, tokens_BT.shape[1], tokens_BT.device)
        x_BTD = self.embedding(tokens_BT)
        for block in self.blocks:
            x_BTD = block(x_BTD, places, cache)
        if cache is not None:
            cache.advance(tokens_BT.shape[1])
        x_BTD = self.norm(x_BTD[:, -1:] if last_only else x_BTD)
        return F.linear(x_BTD, self.embedding.weight) if self.head is None else self.head(x_BTD)

    @torch.no_grad()
    def init_weights(self, seed: int) -> None:
        """Normal(0, 0.02), projections into the residual stream over sqrt(2 · layers) (GPT-2, Radford et al. 2019);
        norms one. Each parameter draws from its own generator, keyed by seed and name, as a whole tensor on the CPU:
        the result depends neither on the number of processes nor on whether the parameters are sharded already.
        """
        into_residual = 0.02 / math.sqrt(2 * self.config.layers)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 1:
                parameter.fill_(1.0)
                continue
            key = hashlib.sha256(f"{seed}/{name}".encode()).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(key[:8], "big", signed=True))
            std = into_residual if name.endswith(("attention.output.weight", "feed_forward.down.weight")) else 0.02
            whole = torch.empty(parameter.shape).normal_(0.0, std, generator=generator).to(parameter.dtype)
            if isinstance(parameter, DTensor):
                mesh = parameter.device_mesh
                whole = distribute_tensor(whole.to(mesh.device_type), mesh, parameter.placements, src_data_rank=None)
            parameter.copy_(whole)


class Block(nn.Module):
    """Attention and feed-forward, each normed before and added to the residual stream."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(config.width, eps=config.norm_eps)
        self.attention = Attention(config, layer)
        self.feed_forward_norm = nn.RMSNorm(config.width, eps=config.norm_eps)
        self.feed_forward = FeedForward(config)

    def forward(self, x_BTD: Tensor, places: Positions, cache: KVCache | None = None) -> Tensor:
        x_BTD = x_BTD + self.attention(self.attention_norm(x_BTD), places, cache)
        return x_BTD + self.feed_forward(self.feed_forward_norm(x_BTD))


class Attention(nn.Module):
    """Causal attention; each of the G key/value heads serves H / G query heads."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.layer, self.head_size = layer, config.head_size
        self.grouped = config.kv_heads < config.heads
        self.query = nn.Linear(config.width, config.heads * config.head_size, bias=False)
        self.key = nn.Linear(config.width, config.kv_heads * config.head_size, bias=False)
        self.value = nn.Linear(config.width, config.kv_heads * config.head_size, bias=False)
        self.output = nn.Linear(config.heads * config.head_size, config.width, bias=False)
        self.query_norm = nn.RMSNorm(config.head_size, eps=config.norm_eps) if config.qk_norm else nn.Identity()
        self.key_norm = nn.RMSNorm(config.head_size, eps=config.norm_eps) if config.qk_norm else nn.Identity()

    def forward(self, x_BTD: Tensor, places: Positions, cache: KVCache | None) -> Tensor:
        by_head = (*x_BTD.shape[:2], -1, self.head_size)
        q_BHTK = rotate(self.query_norm(self.query(x_BTD).view(by_head)).transpose(1, 2), places)
        k_BGTK = rotate(self.key_norm(self.key(x_BTD).view(by_head)).transpose(1, 2), places)
        v_BGTK = self.value(x_BTD).view(by_head).transpose(1, 2)
        if cache is not None:
            k_BGTK, v_BGTK = cache.store(self.layer, k_BGTK, v_BGTK)
        y_BHTK = F.scaled_dot_product_attention(
            q_BHTK, k_BGTK, v_BGTK, attn_mask=places.mask_TS, is_causal=places.causal, enable_gqa=self.grouped
        )
        return self.output(y_BHTK.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """SwiGLU: down(silu(gate(x)) · up(x))."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate = nn.Linear(config.width, config.feed_forward, bias=False)
        self.up = nn.Linear(config.width, config.feed_forward, bias=False)
        self.down = nn.Linear(config.feed_forward, config.width, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        return self.down(F.silu(self.gate(x_BTD)) * self.up(x_BTD))


def rotate(x_BHTK: Tensor, places: Positions) -> Tensor:
    """Turn the pair (x[i], x[i + K/2]) of every head by its position's angle: scores then depend on distances alone."""
    left, right = x_BHTK.chunk(2, dim=-1)
    cos, sin = places.cos_TR, places.sin_TR
    return torch.cat((left * cos - right * sin, right * cos + left * sin), dim=-1).type_as(x_BHTK)


def _positions(config: ModelConfig, past: int, new: int, device: torch.device) -> Positions:
    """Positions past … past + new - 1; a query sees all tokens up to its own place."""
    half = config.head_size // 2
    frequencies = config.rope_theta ** (-torch.arange(half, device=device, dtype=torch.float32) / half)
    angles_TR = torch.arange(past, past + new, device=device, dtype=torch.float32)[:, None] * frequencies
    mask = None
    if past and new > 1:  # is_causal would align the first query with the first key
        mask = torch.ones(new, past + new, dtype=torch.bool, device=device).tril(past)
    return Positions(angles_TR.cos(), angles_TR.sin(), mask, causal=past == 0 and new > 1)
