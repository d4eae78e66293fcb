"""Characters of blocks by class, counted over the bytes of all blocks of a page.

Of characters beyond ASCII it is the bytes that are counted.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...core.compiled import compiled

Ints = NDArray[np.int64]
PACKED, BITS, MASK = 4, 16, 0xFFFF  # counters in a number, and their size


def _packed(*classes: bytes) -> Ints:
    """A table from a byte to up to four counters of 16 bits, so that one sum counts four classes of characters."""
    table = np.zeros(256, np.int64)
    for place, members in enumerate(classes):
        table[np.frombuffer(members, np.uint8)] |= 1 << (BITS * place)
    return table


_UPPER, _DIGITS, _IDEOGRAPHS = bytes(range(65, 91)), b"0123456789", bytes(range(0xE3, 0xEA))
_COMMON = _packed(b",;", b".!?\x82", _DIGITS, _UPPER)  # 0x82: the last byte of the ideographic full stop
_OTHER = _packed(b" \n", _IDEOGRAPHS, b"|/:\xbb\xb7\xa9@#>*", b"\"'()\x9c\x9d\x9e\x99")
_FIRST = _packed(_UPPER, bytes(range(97, 123)), _DIGITS)
_LAST = _packed(b".!?\x82", b":", b"\"')\x9c\x9d", b",-")


@compiled
def characters(codes: NDArray[np.uint8], sizes: Ints) -> Ints:
    """[blocks, 4 * PACKED]: how many characters of eight classes each has, and of which class its first and last are.

    codes: the UTF-8 bytes of all blocks in a row; sizes: how many each has.
    """
    found = np.empty((len(sizes), 4 * PACKED), np.int64)
    end = 0
    for block in range(len(sizes)):
        start, end = end, end + sizes[block]
        common = other = 0
        for place in range(start, end):
            common += _COMMON[codes[place]]
            other += _OTHER[codes[place]]
        first, last = _FIRST[codes[start]], _LAST[codes[end - 1]]
        for place in range(PACKED):
            shift = BITS * place
            found[block, place] = (common >> shift) & MASK
            found[block, PACKED + place] = (other >> shift) & MASK
            found[block, 2 * PACKED + place] = (first >> shift) & MASK
            found[block, 3 * PACKED + place] = (last >> shift) & MASK
    return found
