"""A cache for texts of different lengths that are written side by side, and begin and end at any step.

Each text has a slot, a row of the cache from its first token to the end of the context. The slots in use are the first
ones, so that a step over them works on views of the cache, without gathering: when a text ends, the last one moves into
its slot. Only as much is attended as the longest text has; what the shorter ones do not have is masked.

L layers, N slots, B slots in use, G key/value heads, S tokens, T new tokens, K head size.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .cache import KVCache
from .config import ModelConfig
from .positions import Places, places_at


class SlotCache:
    """`lengths[n]` tokens of slot n are valid. Memory: 2 · L · N · G · context · K numbers."""

    def __init__(
        self, config: ModelConfig, slots: int, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> None:
        shape = (config.layers, slots, config.kv_heads, config.context, config.head_size)
        self.keys_LNGSK = torch.zeros(shape, device=device, dtype=dtype)
        self.values_LNGSK = torch.zeros(shape, device=device, dtype=dtype)
        self.lengths = [0] * slots
        self.slot_N = torch.arange(slots, device=device)
        self.place_S = torch.arange(config.context, device=device)

    @property
    def slots(self) -> int:
        return len(self.lengths)

    def one(self, slot: int) -> KVCache:
        """A slot by itself, to read a prompt into. Its new length is to be put into `lengths`."""
        at = slice(slot, slot + 1)
        return KVCache.over(self.keys_LNGSK[:, at], self.values_LNGSK[:, at], self.lengths[slot])

    def step(self, count: int) -> SlotStep:
        """The first `count` slots, each to be continued by one token."""
        return SlotStep(self, count)

    def scrub(self, used: int) -> None:
        """Zero all that is not the texts' in the first `used` slots. What a text leaves behind does no harm, masked,
        unless it is not finite: 0 · NaN is NaN."""
        for slot in range(self.slots):
            length = self.lengths[slot] if slot < used else 0
            self.keys_LNGSK[:, slot, :, length:] = 0
            self.values_LNGSK[:, slot, :, length:] = 0

    def move(self, source: int, target: int) -> None:
        """Put the text of one slot into another."""
        length = self.lengths[target] = self.lengths[source]
        for tensor in (self.keys_LNGSK, self.values_LNGSK):
            tensor[:, target, :, :length] = tensor[:, source, :, :length]


class SlotStep:
    """The cache of one forward step, T = 1, in which each of B texts goes on from its own place."""

    def __init__(self, cache: SlotCache, count: int) -> None:
        self._cache, self._count = cache, count
        self._lengths = cache.lengths[:count]
        self._longest = max(self._lengths)
        self._alike = min(self._lengths) == self._longest
        assert self._longest < cache.keys_LNGSK.shape[3], f"a text of {self._longest} tokens fills its slot"
        self._length_B = torch.tensor(self._lengths, device=cache.slot_N.device)

    def places(self, config: ModelConfig, tokens_BT: Tensor) -> Places:
        length_B1 = self._length_B[:, None]
        mask = None
        if not self._alike:
            keys = self._cache.keys_LNGSK
            hidden_BS = self._cache.place_S[: self._longest + 1] > length_B1
            mask_BS = keys.new_zeros(hidden_BS.shape).masked_fill_(hidden_BS, -torch.inf)
            mask = mask_BS[:, None, None]
        return places_at(config, length_B1, mask)

    def store(self, layer: int, key_BGTK: Tensor, value_BGTK: Tensor) -> tuple[Tensor, Tensor]:
        """Write each text's key and value behind its others, and return those of all, up to the longest (views)."""
        stored = []
        for tensor, new_BGTK in ((self._cache.keys_LNGSK, key_BGTK), (self._cache.values_LNGSK, value_BGTK)):
            layer_BGSK = tensor[layer, : self._count]
            if self._alike:
                layer_BGSK[:, :, self._longest] = new_BGTK[:, :, 0]
            else:
                layer_BGSK[self._cache.slot_N[: self._count], :, self._length_B] = new_BGTK[:, :, 0]
            stored.append(layer_BGSK[:, :, : self._longest + 1])
        return stored[0], stored[1]

    def advance(self, tokens: int) -> None:
        self._cache.lengths[: self._count] = [length + tokens for length in self._lengths]
