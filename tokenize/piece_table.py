"""The table from pieces of text to their ids, for compiled code: open addressing over bytes, without a Python object.

A slot is four words: the key (a piece of up to 16 bytes is its own; of a longer one the hash, and where its bytes are
kept), where its ids are kept << 32 | how many (of one: the id itself), its size in bytes (0: the slot is free).
"""

from __future__ import annotations

import numpy as np

from ..core.compiled import compiled, inlined
from .merging import Int

LONGEST = 128  # bytes of a piece in the table
_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio
_SPREAD_2 = np.uint64(0xC2B2AE3D27D4EB4F)  # xxHash's second prime: another odd number with well spread bits
_HALF = np.uint64(32)
_BYTE = np.uint64(8)


@inlined
def key_of(data: np.ndarray, at: Int, size: Int) -> tuple[np.uint64, np.uint64]:
    """Two words that are the piece itself, up to 16 bytes, and else a hash of it."""
    low = high = np.uint64(0)
    if size <= 8:
        for place in range(size):
            low |= np.uint64(data[at + place]) << (np.uint64(place) * _BYTE)
        return low, high
    for place in range(8):
        low |= np.uint64(data[at + place]) << (np.uint64(place) * _BYTE)
    if size <= 16:
        for place in range(size - 8):
            high |= np.uint64(data[at + 8 + place]) << (np.uint64(place) * _BYTE)
        return low, high
    for place in range(8, size):
        low = (low ^ np.uint64(data[at + place])) * _SPREAD
        low ^= low >> _HALF
    return low, high


@inlined
def find(
    table: np.ndarray,
    low: np.uint64,
    high: np.uint64,
    size: np.uint64,
    data: np.ndarray,
    at: Int,
    kept_bytes: np.ndarray,
) -> Int:
    """The slot of a piece, or the free one where it would stand."""
    mask = len(table) - 1
    mixed = (low + size) * _SPREAD ^ high * _SPREAD_2
    mixed ^= mixed >> _HALF
    mixed *= _SPREAD
    slot = np.int64(mixed >> np.uint64(40)) & mask
    while table[slot, 3] != 0:
        if table[slot, 0] == low and table[slot, 3] == size:
            if size <= 16:
                if table[slot, 1] == high:
                    break
            elif _same(kept_bytes, np.int64(table[slot, 1]), data, at, np.int64(size)):
                break
        slot = (slot + 1) & mask
    return slot


@inlined
def _same(kept: np.ndarray, start: Int, data: np.ndarray, at: Int, size: Int) -> bool:
    place = 0
    while place < size and kept[start + place] == data[at + place]:
        place += 1
    return place == size


@compiled
def enter(
    slot: Int,
    low: np.uint64,
    high: np.uint64,
    data: np.ndarray,
    at: Int,
    size: Int,
    symbols: np.ndarray,
    number: Int,
    table: np.ndarray,
    kept_ids: np.ndarray,
    kept_bytes: np.ndarray,
    used: np.ndarray,
) -> Int:
    """Put a new piece into its free slot; a table that is full is emptied first. Returns the slot."""
    if 8 * used[0] >= 5 * len(table) or used[1] + number > len(kept_ids) or used[2] + size > len(kept_bytes):
        table[:] = 0
        used[:] = 0
        slot = find(table, low, high, np.uint64(size), data, at, kept_bytes)
    first = np.int64(symbols[0])
    if number > 1:
        first = used[1]
        kept_ids[first : first + number] = symbols[:number]
        used[1] += number
    if size > 16:
        high = np.uint64(used[2])
        kept_bytes[used[2] : used[2] + size] = data[at : at + size]
        used[2] += size
    table[slot, 0] = low
    table[slot, 1] = high
    table[slot, 2] = np.uint64(first) << _HALF | np.uint64(number)
    table[slot, 3] = np.uint64(size)
    used[0] += 1
    return slot
