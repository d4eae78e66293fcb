"""Characters of blocks by class, counted over the bytes of all blocks at once.

In: the UTF-8 bytes of all blocks in a row, and how many each has. Out: counts of eight classes of characters, and of
which class a block's first and last characters are. Of characters beyond ASCII it is the bytes that are counted.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def _packed(*classes: bytes) -> Ints:
    """A table from a byte to up to four counters of 16 bits, so that one sum counts four classes of characters."""
    table = np.zeros(256, np.int64)
    for place, members in enumerate(classes):
        table[np.frombuffer(members, np.uint8)] |= 1 << (16 * place)
    return table


_UPPER, _DIGITS, _IDEOGRAPHS = bytes(range(65, 91)), b"0123456789", bytes(range(0xE3, 0xEA))
_COUNTS = (
    _packed(b",;", b".!?\x82", _DIGITS, _UPPER),  # 0x82: the last byte of the ideographic full stop
    _packed(b" \n", _IDEOGRAPHS, b"|/:\xbb\xb7\xa9@#>*", b"\"'()\x9c\x9d\x9e\x99"),
)
_FIRST = _packed(_UPPER, bytes(range(97, 123)), _DIGITS)
_LAST = _packed(b".!?\x82", b":", b"\"')\x9c\x9d", b",-")
_SHIFTS = np.arange(0, 64, 16)


def characters(data: bytes, sizes: Ints) -> tuple[Ints, Ints]:
    """How many characters of some classes each block has, and of which class its first and its last are."""
    codes = np.frombuffer(data, np.uint8)
    ends = np.cumsum(sizes)
    firsts = ends - sizes
    packed = [np.add.reduceat(table.take(codes), firsts) for table in _COUNTS]
    edges = [_FIRST[codes[firsts]], _LAST[codes[ends - 1]]]
    counts, shape = (
        np.concatenate([(one[:, None] >> _SHIFTS) & 0xFFFF for one in group], axis=1) for group in (packed, edges)
    )
    return counts, shape
