"""The hot path: UTF-8 bytes in, token ids out, with no Python object for a text, a word or an id.

    bytes ─► the next piece's end ─► its ids, from a table of the pieces met before ─► the shard's array
             (splitting.py)          │ a new one: its symbols, merged (merging.py), and into the table

Natural text repeats: more than 99 % of its pieces have been met. The table is bounded; when it is full it begins anew.
"""

from __future__ import annotations

import numpy as np

from ..core.compiled import borrowed, compiled
from .encoders import token_type
from .merging import SHORT, Int, merge, pair_table
from .patterns import Cutting
from .piece_table import LONGEST, enter, find, key_of
from .splitting import character, class_table, piece_ends
from .vocabulary import Vocabulary

SLOTS = 1 << 18  # of the table, 32 bytes each
_HALF = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)


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
            low, high = key_of(text_bytes, at, size)
            slot = find(slots, low, high, np.uint64(size), text_bytes, at, known_bytes)
            if table[slot, 3] == 0:
                number = merge(short, _spell(data, at, end, byte_ids, character_ids, short), pairs, scratch)
                slot = enter(slot, low, high, data, at, size, short, number, table, kept_ids, kept_bytes, used)
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
