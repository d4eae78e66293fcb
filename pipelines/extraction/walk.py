"""The walk through a page's nodes, compiled: which text belongs to which block, and which elements hold blocks.

In: what blocks.py read from the parser, as columns. Out: `Walked`, in numbers. A block ends where a block element
begins or ends, and at two line breaks. Only elements that hold text have a place in the tree.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...core.compiled import compiled

Ints = NDArray[np.int64]
INLINE, LINK, LEFT_OUT, BREAK, TEXT = -1, -2, -3, -4, -5  # kinds of nodes; a block element's are the bits of its tag
NOWHERE = -1


class Walked(NamedTuple):
    """Numbers: of pieces, the block each is part of (or NOWHERE); of blocks, the element and the characters in links;
    of elements, the one around it, the node, and the blocks before it. Element 0 is the document, its node NOWHERE."""

    pieces: Ints
    owners: Ints
    linked: Ints
    parents: Ints
    nodes: Ints
    starts: Ints


@compiled
def walk(kinds: Ints, sizes: Ints, addresses: Ints, around: Ints) -> Walked:
    """kinds: of all nodes, in the page's order; sizes: the characters of its pieces (texts and line breaks), 0 for
    blank ones; addresses and around: of all nodes but line breaks and blank texts, their own and that of the element
    that they stand in.
    """
    pieces = np.full(len(sizes), NOWHERE)
    owners, linked = np.empty(len(sizes), np.int64), np.zeros(len(sizes), np.int64)
    solid = len(addresses) + 1  # nodes with an address, behind the document
    outer, holder = np.zeros(solid, np.int64), np.zeros(solid, np.int64)  # the node around; itself or the block around
    node_of, starts = np.full(solid, NOWHERE), np.zeros(solid, np.int64)
    inside_link, left_out, asked = np.zeros(solid, np.bool_), np.zeros(solid, np.bool_), np.zeros(solid, np.bool_)
    asked[0] = True

    piece, here, element, blocks = -1, 0, 0, 0
    current, breaks, last_break = NOWHERE, 0, 0  # the element of the open block; line breaks since its last text
    for node in range(len(kinds)):
        kind = kinds[node]
        if kind <= BREAK:
            piece += 1
            if kind == BREAK:
                breaks, last_break = breaks + 1, piece
                continue
            if sizes[piece] == 0:
                if current != NOWHERE:
                    pieces[piece] = blocks - 1
                continue
        here += 1
        place = element  # the last element, or one around it, is the one around this node
        while place > 0 and addresses[place - 1] != around[here - 1]:
            place = outer[place]
        if kind != TEXT:
            element = here
            outer[here], node_of[here] = place, node
            inside_link[here] = inside_link[place] or kind == LINK
            left_out[here] = left_out[place] or kind == LEFT_OUT
            holder[here] = here if kind >= 0 else holder[place]
            if kind >= 0:
                current, breaks = NOWHERE, 0
            continue
        element = place  # all behind it are closed
        if left_out[place]:
            continue
        owner = asking = holder[place]
        while not asked[asking]:
            asked[asking], starts[asking] = True, blocks
            asking = holder[outer[asking]]
        if owner != current or breaks > 1:
            owners[blocks], current = owner, owner
            blocks += 1
        elif breaks:
            pieces[last_break] = blocks - 1
        breaks = 0
        pieces[piece] = blocks - 1
        if inside_link[place]:
            linked[blocks - 1] += sizes[piece]

    elements = np.flatnonzero(asked)
    number = np.cumsum(asked) - 1
    parents = number[holder[outer[elements]]]
    return Walked(pieces, number[owners[:blocks]], linked[:blocks], parents, node_of[elements], starts[elements])


@compiled
def inherit(parents: Ints, own: Ints) -> Ints:
    """For each element, its own bits and those of all around it."""
    inherited = own.copy()
    for element in range(1, len(own)):
        inherited[element] |= inherited[parents[element]]
    return inherited
