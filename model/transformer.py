"""The decoder-only transformer: token ids in, logits of the next token out.

One class for all families; what differs are options of the configuration (core/settings_model.py):

    norm        RMSNorm (Zhang & Sennrich 2019) or LayerNorm (Ba et al. 2016), before each half of a block, or after
                each sum (`post_norm`: Vaswani et al. 2017)
    positions   rotary (Su et al. 2021; halves rotated as in Llama and Qwen3), learned (GPT-2), sinusoidal (2017)
    attention   causal, grouped queries (Ainslie et al. 2023), optional norm on queries and keys (Dehghani et al. 2023)
    activation  SwiGLU (Shazeer 2020), GELU by its tanh formula (Hendrycks & Gimpel 2016), ReLU

Weights have the shapes of Hugging Face's Llama and Qwen3. No parameter belongs to two blocks, and the tied head is the
root's own embedding: blocks and root can each be given to FSDP2's `fully_shard`. Tables of angles are computed from the
positions at every forward: no buffer to shard, move or save.

B batch, T new tokens, D width, H query heads, G key/value heads, K head size, N = B · T, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attending import attend
from .cache import Cache
from .config import ModelConfig
from .initial import init_weights
from .norms import RMSNorm
from .positions import Places, document_numbers, places, rotate, sinusoids
from .products import Linear, linear

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "swiglu": F.silu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "relu": F.relu,
}
SPLIT_FROM = 512  # tokens in a row


class Transformer(nn.Module):
    """forward(tokens_BT) gives logits_BTV; with a cache the tokens continue what the cache has read."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.document_begin: int | None = None  # in training: the token that begins a document within a row
        self.embedding = nn.Embedding(config.vocab_size, config.width)
        learned = config.positions == "learned"
        self.position_embedding = nn.Embedding(config.context, config.width) if learned else None
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.layers))
        self.norm = nn.Identity() if config.post_norm else make_norm(config, config.width)
        self.head = None if config.tied_embeddings else Linear(config.width, config.vocab_size, bias=False)
        self.wider = config.width_ratio

    def forward(
        self,
        tokens_BT: Tensor,
        cache: Cache | None = None,
        last_only: bool = False,
        documents_BT: Tensor | None = None,
    ) -> Tensor:
        """Logits of every token's successor; of the last token's alone (T = 1) with `last_only`.

        `documents_BT` numbers the documents of each row, which stand one after the other: none sees another, and each
        has the logits that it has alone. Left out, it follows from the tokens where `document_begin` is set.
        """
        if documents_BT is None and cache is None and self.document_begin is not None:
            documents_BT = document_numbers(tokens_BT, self.document_begin)
        if cache is not None:
            assert documents_BT is None, "documents are for whole rows, a cache holds one text a row"
            where = cache.places(self.config, tokens_BT)
        else:
            where = places(self.config, tokens_BT, documents_BT=documents_BT, split=self._splits(tokens_BT))
        x_BTD = self._embed(tokens_BT, where.position)
        for block in self.blocks:
            x_BTD = block(x_BTD, where, cache)
        if cache is not None:
            cache.advance(tokens_BT.shape[1])
        x_BTD = self.norm(x_BTD[:, -1:] if last_only else x_BTD)
        if self.wider != 1:  # the logits' factor, where there are the fewest numbers
            x_BTD = x_BTD * (1 / self.wider)
        return linear(x_BTD, self.embedding.weight) if self.head is None else self.head(x_BTD)

    def init_weights(self, seed: int) -> None:
        """See model/initial.py: the same numbers for any number of processes, sharded or not."""
        init_weights(self, seed, self.config)

    def _embed(self, tokens_BT: Tensor, position: Tensor) -> Tensor:
        x_BTD = self.embedding(tokens_BT)
        if self.config.scale_embedding:
            transfer = self.config.transfer
            x_BTD = x_BTD * math.sqrt(transfer.base_width if transfer else self.config.width)
        if self.position_embedding is not None:
            x_BTD = x_BTD + self.position_embedding(position)
        elif self.config.positions == "sinusoidal":
            x_BTD = x_BTD + sinusoids(position, self.config.width, self.config.rope_theta).to(x_BTD.dtype)
        return x_BTD

    def _splits(self, tokens_BT: Tensor) -> bool:
        """Whether documents are attended one by one. Measured on 2 cores: in rows of 2,048 tokens a step takes half the
        time of a masked one, in rows of 256 the calls cost more than they save. Lengths that change with every batch
        would compile a block anew at every step."""
        compiled = torch.compiler.is_compiling() or any(block._compiled_call_impl is not None for block in self.blocks)
        return tokens_BT.device.type == "cpu" and tokens_BT.shape[1] >= SPLIT_FROM and not compiled


class Block(nn.Module):
    """Attention and feed-forward, each added to the residual stream; times 1 / m_L under `model.transfer`."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.post_norm, self.share = config.post_norm, 1 / config.depth_ratio
        self.attention_norm = make_norm(config, config.width)
        self.attention = Attention(config, layer)
        self.feed_forward_norm = make_norm(config, config.width)
        self.feed_forward = FeedForward(config)

    def forward(self, x_BTD: Tensor, where: Places, cache: Cache | None = None) -> Tensor:
        if self.post_norm:
            x_BTD = self.attention_norm(x_BTD + self.attention(x_BTD, where, cache))
            return self.feed_forward_norm(x_BTD + self.feed_forward(x_BTD))
        x_BTD = torch.add(x_BTD, self.attention(self.attention_norm(x_BTD), where, cache), alpha=self.share)
        return torch.add(x_BTD, self.feed_forward(self.feed_forward_norm(x_BTD)), alpha=self.share)


class Attention(nn.Module):
    """Causal attention; each of the G key/value heads serves H / G query heads."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.layer, self.head_size, self.scale = layer, config.head_size, config.score_scale
        make = partial(Linear, bias=config.bias)
        self.query = make(config.width, config.attention_width)
        self.key = make(config.width, config.kv_heads * config.head_size)
        self.value = make(config.width, config.kv_heads * config.head_size)
        self.output = make(config.attention_width, config.width)
        self.query_norm = make_norm(config, config.head_size) if config.qk_norm else nn.Identity()
        self.key_norm = make_norm(config, config.head_size) if config.qk_norm else nn.Identity()

    def forward(self, x_BTD: Tensor, where: Places, cache: Cache | None) -> Tensor:
        by_head = (*x_BTD.shape[:2], -1, self.head_size)
        q_BTHK = self.query_norm(self.query(x_BTD).view(by_head))
        k_BTGK = self.key_norm(self.key(x_BTD).view(by_head))
        v_BGTK = self.value(x_BTD).view(by_head).transpose(1, 2)
        if where.turn is not None:
            q_BTHK, k_BTGK = rotate(q_BTHK, where.turn), rotate(k_BTGK, where.turn)
        q_BHTK, k_BGTK = q_BTHK.transpose(1, 2), k_BTGK.transpose(1, 2)  # heads follow tokens in memory: no copy below
        if cache is not None:
            k_BGTK, v_BGTK = cache.store(self.layer, k_BGTK, v_BGTK)
        y_BHTK = attend(q_BHTK, k_BGTK, v_BGTK, where, self.scale)
        return self.output(y_BHTK.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """down(act(up(x))); gated, as in SwiGLU: down(act(gate(x)) · up(x))."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.activate = ACTIVATIONS[config.activation]
        make = partial(Linear, bias=config.bias)
        self.gate = make(config.width, config.feed_forward) if config.gated else None
        self.up = make(config.width, config.feed_forward)
        self.down = make(config.feed_forward, config.width)

    def forward(self, x_BTD: Tensor) -> Tensor:
        if self.gate is None:
            return self.down(self.activate(self.up(x_BTD)))
        return self.down(self.activate(self.gate(x_BTD)) * self.up(x_BTD))


def make_norm(config: ModelConfig, size: int) -> nn.Module:
    if config.norm == "rms":
        return RMSNorm(size, eps=config.norm_eps)
    return nn.LayerNorm(size, eps=config.norm_eps, bias=config.bias)
