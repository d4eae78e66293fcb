"""The merges of byte pair encoding as compiled code: of all neighbours always the pair of the lowest rank, of its like
the leftmost first (Sennrich et al. 2016, algorithm 1; the `tokenizers` library's order).

Two ways to the same ids: for short pieces a scan for the lowest rank before each merge, for long ones a heap, so that a
"word" of a megabyte takes time in proportion to n log n, not n².
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.compiled import compiled

SHORT = 96  # symbols: up to here scanning is faster
Int = int | np.signedinteger[Any] | Any  # as NumPy's stubs see numba's numbers
NONE = np.uint64(0xFFFFFFFFFFFFFFFF)  # no pair has this key; no rank is as high
_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: Fibonacci hashing (Knuth, vol. 3, section 6.4)
_HALF = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)


def pair_table(merges: np.ndarray) -> np.ndarray:
    """uint64 [slots, 2], open addressing, at most half full: left << 32 | right, then rank << 32 | id of both together.

    merges: int64 [merges, 3], by rank. Of a pair that stands twice, the last one counts, as in the library.
    """
    size = 1 << max(4, int(2 * len(merges)).bit_length())
    table = np.full((size, 2), NONE, np.uint64)
    _fill(table, merges.astype(np.uint64))
    return table


@compiled
def _fill(table: np.ndarray, merges: np.ndarray) -> None:
    for rank in range(len(merges)):
        key = merges[rank, 0] << _HALF | merges[rank, 1]
        slot = _slot(table, key)
        table[slot, 0] = key
        table[slot, 1] = np.uint64(rank) << _HALF | merges[rank, 2]


@compiled
def _slot(table: np.ndarray, key: np.uint64) -> Int:
    """Where a pair stands, or the free slot where it would."""
    mask = len(table) - 1
    mixed = key * _SPREAD
    slot = np.int64(mixed >> _HALF) & mask
    while table[slot, 0] != key and table[slot, 0] != NONE:
        slot = (slot + 1) & mask
    return slot


@compiled
def _merge_of(table: np.ndarray, left: Int, right: Int) -> np.uint64:
    """rank << 32 | id of both together; NONE when the two are not merged."""
    key = np.uint64(left) << _HALF | np.uint64(right)
    return table[_slot(table, key), 1]


@compiled
def merge(symbols: np.ndarray, count: Int, table: np.ndarray, scratch: np.ndarray) -> Int:
    """Merge the first `count` of symbols (int32) in place; returns how many are left. scratch: uint64 [SHORT]."""
    if count <= SHORT:
        return merge_scanning(symbols, count, table, scratch)
    return merge_by_heap(symbols, count, table)


@compiled
def merge_scanning(symbols: np.ndarray, count: Int, table: np.ndarray, merges: np.ndarray) -> Int:
    """For at most len(merges) symbols."""
    for place in range(count - 1):
        merges[place] = _merge_of(table, symbols[place], symbols[place + 1])
    while count > 1:
        best = 0
        for place in range(1, count - 1):
            if merges[place] < merges[best]:
                best = place
        if merges[best] == NONE:
            break
        symbols[best] = np.int64(merges[best] & _LOW)
        count -= 1
        for place in range(best + 1, count):
            symbols[place] = symbols[place + 1]
            merges[place - 1] = merges[place]
        if best > 0:
            merges[best - 1] = _merge_of(table, symbols[best - 1], symbols[best])
        if best < count - 1:
            merges[best] = _merge_of(table, symbols[best], symbols[best + 1])
    return count


@compiled
def merge_by_heap(symbols: np.ndarray, count: Int, table: np.ndarray) -> Int:
    """Symbols are a linked list, -1 for what went into its left neighbour. An entry of the heap is rank << 32 | place;
    it is stale when the pair at this place has another rank by now."""
    after = np.arange(1, count + 1)
    before = np.arange(-1, count - 1)
    heap = np.empty(2 * count + 2, np.uint64)
    size = 0
    for place in range(count - 1):
        size = _offer(heap, size, table, symbols, place, place + 1)
    while size > 0:
        entry = heap[0]
        size = _drop_first(heap, size)
        place = np.int64(entry & _LOW)
        if symbols[place] < 0 or after[place] == count:
            continue
        right = after[place]
        found = _merge_of(table, symbols[place], symbols[right])
        if found == NONE or found >> _HALF != entry >> _HALF:
            continue
        symbols[place] = np.int64(found & _LOW)
        symbols[right] = -1
        after[place] = after[right]
        if after[place] < count:
            before[after[place]] = place
            size = _offer(heap, size, table, symbols, place, after[place])
        if before[place] >= 0:
            size = _offer(heap, size, table, symbols, before[place], place)
    left = 0
    place = 0
    while place < count:
        symbols[left] = symbols[place]
        left += 1
        place = after[place]
    return left


@compiled
def _offer(heap: np.ndarray, size: Int, table: np.ndarray, symbols: np.ndarray, place: Int, right: Int) -> Int:
    """Put the pair at a place on the heap, if it merges. Each merge takes an entry away and offers two at most, so that
    the heap never holds more than twice the symbols."""
    found = _merge_of(table, symbols[place], symbols[right])
    if found == NONE:
        return size
    entry = (found >> _HALF) << _HALF | np.uint64(place)
    at = size
    while at > 0 and heap[(at - 1) >> 1] > entry:
        heap[at] = heap[(at - 1) >> 1]
        at = (at - 1) >> 1
    heap[at] = entry
    return size + 1


@compiled
def _drop_first(heap: np.ndarray, size: Int) -> Int:
    size -= 1
    last = heap[size]
    at = 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= last:
            break
        heap[at] = heap[child]
        at = child
    heap[at] = last
    return size
