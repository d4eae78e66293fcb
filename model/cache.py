"""Keys and values of the tokens that a model has read already, so that the next token costs one row instead of all.

L layers, B batch, G key/value heads, S capacity in tokens, T new tokens, K head size.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from .config import ModelConfig
from .positions import Places, places


class Cache(Protocol):
    """What the transformer asks of a cache: KVCache for texts of one length, model/slots.py for texts of many."""

    def places(self, config: ModelConfig, tokens_BT: Tensor) -> Places:
        """Where the new tokens stand."""
        ...

    def store(self, layer: int, key_BGTK: Tensor, value_BGTK: Tensor) -> tuple[Tensor, Tensor]:
        """Take a layer's new keys and values; give those of all tokens that the new ones may see."""
        ...

    def advance(self, tokens: int) -> None:
        """The last layer has stored so many new tokens."""
        ...


class KVCache:
    """Preallocated: keys_LBGSK and values_LBGSK are filled from the left, `length` tokens of them are valid."""

    def __init__(
        self,
        config: ModelConfig,
        batch: int = 1,
        capacity: int | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.capacity = capacity or config.context
        shape = (config.layers, batch, config.kv_heads, self.capacity, config.head_size)
        self.keys_LBGSK = torch.zeros(shape, device=device, dtype=dtype)
        self.values_LBGSK = torch.zeros(shape, device=device, dtype=dtype)
        self.length = 0

    @classmethod
    def over(cls, keys_LBGSK: Tensor, values_LBGSK: Tensor, length: int) -> KVCache:
        """A cache in tensors that are there already, `length` tokens of them valid."""
        cache = cls.__new__(cls)
        cache.keys_LBGSK, cache.values_LBGSK = keys_LBGSK, values_LBGSK
        cache.capacity, cache.length = keys_LBGSK.shape[3], length
        return cache

    @property
    def room(self) -> int:
        """Tokens that still fit."""
        return self.capacity - self.length

    def places(self, config: ModelConfig, tokens_BT: Tensor) -> Places:
        return places(config, tokens_BT, self.length)

    def store(self, layer: int, key_BGTK: Tensor, value_BGTK: Tensor) -> tuple[Tensor, Tensor]:
        """Write a layer's new keys and values behind the valid ones, and return all of that layer, old and new (views).

        The length grows only by `advance`, after the last layer.
        """
        stop = self.length + key_BGTK.shape[2]
        assert stop <= self.capacity, f"the cache holds {self.capacity} tokens, {stop} were to be stored"
        self.keys_LBGSK[layer, :, :, self.length : stop] = key_BGTK
        self.values_LBGSK[layer, :, :, self.length : stop] = value_BGTK
        return self.keys_LBGSK[layer, :, :, :stop], self.values_LBGSK[layer, :, :, :stop]

    def advance(self, tokens: int) -> None:
        self.length += tokens
