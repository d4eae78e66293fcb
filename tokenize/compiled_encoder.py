"""The hot path: UTF-8 bytes in, token ids out, with no Python object for a text, a word or an id.

    bytes ─► the next piece's end ─► its ids, from a table of the pieces met before ─► the shard's array
             (splitting.py)          │ a new one: its symbols, merged (merging.py), and into the table

Natural text repeats: more than 99 % of its pieces have been met. The table is bounded; when it is full it begins anew.
"""

from __future__ import annotations

import numpy as np

from ..core.compiled import borrowed, compiled, inlined
from .encoders import token_type
from .merging import SHORT, Int, merge, pair_table
from .patterns import Cutting
from .splitting import character, class_table, piece_ends
from .vocabulary import Vocabulary

SLOTS = 1 << 18  # of 32 bytes
LONGEST = 128  # bytes of a piece in the table
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_SPREAD_2 = np.uint64(0xC2B2AE3D27D4EB4F)  # xxHash's second prime: another odd number with well spread bits
_HALF = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)
_BYTE = np.uint64(8)


class CompiledEncoder:
    """Encodes with the patterns that tokenize/splitting.py knows."""

    name = "compiled"

    def __init__(self, vocabulary: Vocabulary, cutting: Cutting, end_of_text: int, slots: int = SLOTS) -> None:
        """slots: of the table, a power of two."""
        self._end = end_of_text
        self._type = token_type(len(vocabulary.tokens))
        self._rules = (class_table(cutting.marks), cutting.gpt4, cutting.most_digits)
        self._spelling = (vocabulary.byte_ids, vocabulary.character_ids, pair_table(vocabulary.merges))
        self._table = np.zeros((slots, 4), np.uint64)
        self._kept_ids = np.empty(LONGEST + slots * 2, np.int32)
        self._kept_bytes = np.empty(LONGEST + slots * 8, np.uint8)
        self._used = np.zeros(3, np.int64)  # slots, ids, bytes

    def forget(self) -> None:
        """Empty the table of pieces, as it is in a new process: for measurements."""
        self._table[:] = 0
        self._used[:] = 0

    def encode(self, data: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Tokens of all texts, each text's end with the end-of-text token, and their number per text.

        data: uint8, valid UTF-8; offsets: int64 [texts + 1] into it. Returns uint16|uint32 [tokens], int64 [texts].
        """
        data = data.view()
        data.flags.writeable = False  # numba compiles another loop for arrays that may be written
        out = np.empty(int(offsets[-1] - offsets[0]) + len(offsets), self._type)
        counts = np.empty(len(offsets) - 1, np.int64)
        kept = (self._table, self._kept_ids, self._kept_bytes, self._used)
        ends = piece_ends(data, offsets, *self._rules)
        used = _encode(data, offsets, ends, *self._spelling, *kept, out, counts, self._end)
        return out[:used], counts


@compiled
def _encode(
    data: np.ndarray,
    offsets: np.ndarray,
    ends: np.ndarray,
    byte_ids: np.ndarray,
    character_ids: np.ndarray,
    pairs: np.ndarray,
    table: np.ndarray,
    kept_ids: np.ndarray,
    kept_bytes: np.ndarray,
    used: np.ndarray,
    out: np.ndarray,
    counts: np.ndarray,
    end_of_text: int,
) -> Int:
    text_bytes, slots, known_bytes = borrowed(data), borrowed(table), borrowed(kept_bytes)
    scratch = np.empty(SHORT, np.uint64)
    short = np.empty(LONGEST, np.int32)
    filled = piece = 0
    for text in range(len(counts)):
        began = filled
        at, stop = offsets[text], offsets[text + 1]
        while at < stop:
            end = ends[piece]
            piece += 1
            size = end - at
            if size > LONGEST:
                symbols = np.empty(size, np.int32)
                number = merge(symbols, _spell(data, at, end, byte_ids, character_ids, symbols), pairs, scratch)
                for place in range(number):
                    out[filled + place] = symbols[place]
                filled += number
                at = end
                continue
            low, high = _key(text_bytes, at, size)
            slot = _find(slots, low, high, np.uint64(size), text_bytes, at, known_bytes)
            if table[slot, 3] == 0:
                number = merge(short, _spell(data, at, end, byte_ids, character_ids, short), pairs, scratch)
                slot = _enter(slot, low, high, data, at, size, short, number, table, kept_ids, kept_bytes, used)
            number = np.int64(table[slot, 2] & _LOW)
            first = np.int64(table[slot, 2] >> _HALF)
            if number == 1:
                out[filled] = first
            else:
                for place in range(number):
                    out[filled + place] = kept_ids[first + place]
            filled += number
            at = end
        out[filled] = end_of_text
        filled += 1
        counts[text] = filled - began
    return filled


@compiled
def _spell(
    data: np.ndarray, at: Int, end: int, byte_ids: np.ndarray, character_ids: np.ndarray, symbols: np.ndarray
) -> Int:
    """The ids of a piece's bytes, or of its characters where these are tokens."""
    count = 0
    while at < end:
        after = at + 1
        if len(character_ids) > 0:
            point, after = character(data, at)
            if character_ids[point] >= 0:
                symbols[count] = character_ids[point]
                count += 1
                at = after
        while at < after:
            symbols[count] = byte_ids[data[at]]
            count += 1
            at += 1
    return count


@inlined
def _key(data: np.ndarray, at: Int, size: Int) -> tuple[np.uint64, np.uint64]:
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
def _find(
    table: np.ndarray,
    low: np.uint64,
    high: np.uint64,
    size: np.uint64,
    data: np.ndarray,
    at: Int,
    kept_bytes: np.ndarray,
) -> Int:
    """The slot of a piece, or the free one where it would stand. A slot: key (of long pieces its hash, and where its
    bytes are kept), where its ids are kept << 32 | how many (of one: the id itself), its size (0: free)."""
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
def _enter(
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
        slot = _find(table, low, high, np.uint64(size), data, at, kept_bytes)
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
