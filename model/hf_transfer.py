"""A model under `model.transfer` or `scale_embedding` as others compute it: the factors go into the weights.

    1 / m_L of what a block adds       weights and biases of the projections into the residual stream
    1 / m_N of the logits              gain and bias of the last norm, so that a tied head stays tied
    attention's scores                 gains on queries, where there are; else weights and biases of the queries
    that of the embeddings             the embedding; where the head is tied to it, the last norm takes it back

The same values but for the rounding of a product. To train on is another matter: rates would be the standard ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from .config import ModelConfig
from .transformer import Transformer


def standard(model: Transformer) -> tuple[ModelConfig, Mapping[str, Tensor]]:
    """Configuration and state_dict of the model, factors folded in where it has any that can be."""
    config, state = model.config, model.state_dict()
    if config.post_norm or (config.transfer is None and not config.scale_embedding):
        return config, state
    return fold(config, state)


def fold(config: ModelConfig, state: Mapping[str, Tensor]) -> tuple[ModelConfig, dict[str, Tensor]]:
    """The same model without `transfer` and `scale_embedding`; the tensors given are left as they are. Not for
    `post_norm`, which has no last norm."""
    factors = {"norm": 1 / config.width_ratio}
    if config.scale_embedding:
        scale = math.sqrt(config.transfer.base_width if config.transfer else config.width)
        factors["embedding"] = scale
        factors["norm"] /= scale if config.tied_embeddings else 1
    for layer in range(config.layers):
        block = f"blocks.{layer}"
        factors[f"{block}.attention.output"] = factors[f"{block}.feed_forward.down"] = 1 / config.depth_ratio
        if config.score_scale is not None:
            queries = "query_norm" if config.qk_norm else "query"
            factors[f"{block}.attention.{queries}"] = config.score_scale * math.sqrt(config.head_size)
    folded = {name: tensor * factors.get(name.rpartition(".")[0], 1.0) for name, tensor in state.items()}
    return replace(config, transfer=None, scale_embedding=False), folded
