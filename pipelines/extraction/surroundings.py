"""Where a page's blocks stand, as columns of features.py: around what, how much stands there, before and behind what.

A loop over one page, compiled. All sums are of integers, so that no order of theirs matters.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...core.compiled import compiled

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
LEVELS = 4
CLASSES, EDGES = 8, 8  # of characters that are counted, of those that stand first and last
PROSE_BYTES = 80

# The columns. First those of which the logarithm matters: amounts.
SIZE = 0
COUNTS = SIZE + 1
INSIDE = COUNTS + CLASSES  # bytes, characters in links, bytes of prose and blocks in each element around
PLACE = INSIDE + 4 * LEVELS  # in the page, to its leading element, to the last heading
AMOUNTS = PLACE + 8
RATES = AMOUNTS  # of the counts
DENSITY = RATES + CLASSES  # of links
SHAPE = DENSITY + 1
SHARES = SHAPE + EDGES  # in each element around: links, prose; of it in the page: prose, bytes
WHERE = SHARES + 4 * LEVELS
WORDS = WHERE + 8  # features.py's


@compiled
def around(owners: Ints, parents: Ints) -> Ints:
    """[blocks, LEVELS]: each block's element and those around it; a root is around itself."""
    found = np.empty((len(owners), LEVELS), np.int64)
    for block in range(len(owners)):
        element = owners[block]
        for level in range(LEVELS):
            found[block, level] = element
            element = parents[element]
    return found


@compiled
def extents(owners: Ints, parents: Ints) -> Ints:
    """For each element, the number of blocks up to the last that stands in it."""
    ends = np.zeros(len(parents), np.int64)
    for block in range(len(owners)):
        ends[owners[block]] = block + 1
    for element in range(len(parents) - 1, 0, -1):
        ends[parents[element]] = max(ends[parents[element]], ends[element])
    return ends


@compiled
def running(values: Ints) -> Ints:
    """Sums of none, of the first, of the first two …"""
    sums = np.zeros(len(values) + 1, np.int64)
    for place in range(len(values)):
        sums[place + 1] = sums[place] + values[place]
    return sums


@compiled
def describe(
    texts: tuple[Ints, Ints, Ints, Ints],  # owner, size, characters in links and counts of characters, of each block
    tree: tuple[Ints, Ints, Ints, Ints],  # parent, bits, bits inherited and blocks before it, of each element
    h1: int,
    headings: int,
    names: Ints,
    numbers: Floats,
) -> None:
    """Fill a page's rows of names and numbers. h1, headings: the bits of the tags of a heading."""
    owners, sizes, linked, counts = texts
    parents, own, inherited, starts = tree
    blocks = len(owners)
    holders, ends = around(owners, parents), extents(owners, parents)

    prose = np.zeros(blocks, np.int64)
    held = np.zeros(len(parents), np.int64)  # prose of the blocks whose second element it is
    for block in range(blocks):
        ended = counts[block, 0] + counts[block, 1] > 0
        if sizes[block] >= PROSE_BYTES and linked[block] / sizes[block] < 0.4 and ended:
            prose[block] = sizes[block]
            held[holders[block, 1]] += sizes[block]
    size_until, links_until, prose_until = running(sizes), running(linked), running(prose)
    total, total_prose = size_until[blocks], prose_until[blocks]

    most = titles = 0
    for block in range(blocks):
        most = max(most, held[holders[block, 1]])
        titles += (own[owners[block]] & h1) != 0
    first = 0  # of the blocks in the element that holds the most prose, or in the first of some
    while held[holders[first, 1]] < most:
        first += 1
    leader = holders[first, 1]
    last = first
    for block in range(first, blocks):
        if holders[block, 1] == leader:
            last = block

    heading, titles_until = -1, 0
    for block in range(blocks):
        row, holder, size = numbers[block], holders[block], sizes[block]
        names[block, 0] = own[holder[0]]
        names[block, 1] = own[holder[1]]
        names[block, 2] = own[holder[2]] | own[holder[3]]
        names[block, 3] = inherited[holder[0]]
        if own[holder[0]] & headings:
            heading = block
        if own[holder[0]] & h1:
            titles_until += 1

        row[SIZE] = size
        for place in range(CLASSES):
            row[COUNTS + place] = counts[block, place]
            row[RATES + place] = counts[block, place] / size
        for place in range(EDGES):
            row[SHAPE + place] = counts[block, CLASSES + place]
        row[DENSITY] = linked[block] / size
        for level in range(LEVELS):
            start, end = starts[holder[level]], ends[holder[level]]
            inner = size_until[end] - size_until[start]
            links = links_until[end] - links_until[start]
            proses = prose_until[end] - prose_until[start]
            row[INSIDE + level] = inner
            row[INSIDE + LEVELS + level] = links
            row[INSIDE + 2 * LEVELS + level] = proses
            row[INSIDE + 3 * LEVELS + level] = end - start
            row[SHARES + level] = links / max(inner, 1)
            row[SHARES + LEVELS + level] = proses / max(inner, 1)
            row[SHARES + 2 * LEVELS + level] = proses / max(total_prose, 1)
            row[SHARES + 3 * LEVELS + level] = inner / total

        row[PLACE] = block
        row[PLACE + 1] = blocks - block
        row[PLACE + 2] = blocks
        row[PLACE + 3] = total
        row[PLACE + 4] = most
        row[PLACE + 5] = max(0, first - block)
        row[PLACE + 6] = max(0, block - last)
        row[PLACE + 7] = block - heading
        row[WHERE] = block / blocks
        row[WHERE + 1] = size_until[block + 1] / total
        row[WHERE + 2] = block < first
        row[WHERE + 3] = block > last
        row[WHERE + 4] = held[holder[1]] / max(most, 1)
        row[WHERE + 5] = holder[1] == leader
        row[WHERE + 6] = titles_until > 0
        row[WHERE + 7] = titles_until == titles
