"""The sums of model.py's network, compiled.

Behind the first layer, hidden units stand in rows and the blocks of some pages in columns, with REACH zeros around each
page: so a convolution adds a few long rows, at the speed of the processor's vectors. Each sum has one order, whatever
else is in the call. (That of BLAS differs from shape to shape, and on some processors from row to row.)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...core.compiled import compiled

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Layer = tuple[Floats, Floats]  # weights and bias
WINDOW = 5
GAPS = (1, 3)  # steps between the blocks that a convolution sees
REACH = max(GAPS) * (WINDOW // 2)
ZERO = np.float32(0)


@compiled
def enter(names: Ints, numbers: Floats, layer: Layer) -> Floats:
    """[blocks, units]: bias, and the weights of all bits that are set in names, and numbers by theirs; many are 0."""
    weights, bias = layer
    blocks, levels = names.shape
    units, width = len(bias), numbers.shape[1]
    flags = len(weights) - width
    sums = np.empty((blocks, units), np.float32)
    for block in range(blocks):
        for unit in range(units):
            sums[block, unit] = bias[unit]
        for level in range(levels):
            rest, flag = names[block, level], level * (flags // levels)
            while rest:
                if rest & 1:
                    for unit in range(units):
                        sums[block, unit] += weights[flag, unit]
                rest >>= 1
                flag += 1
        for place in range(width):
            number = numbers[block, place]
            if number != 0:
                for unit in range(units):
                    sums[block, unit] += number * weights[flags + place, unit]
    return sums


@compiled
def leave(entered: Floats, counts: Ints, near: Layer, far: Layer, summary: Floats, out: Layer) -> Floats:
    """What the layers behind the first make of each block, before the logistic function. counts: each page's blocks."""
    blocks, units = entered.shape
    columns, pages = np.empty(blocks, np.int64), np.empty(blocks, np.int64)  # of each block
    block = 0
    for page in range(len(counts)):
        for _ in range(counts[page]):
            columns[block], pages[block] = block + REACH * (page + 1), page
            block += 1
    hidden = np.zeros((units, blocks + REACH * (len(counts) + 1)), np.float32)
    for block in range(blocks):
        for unit in range(units):
            hidden[unit, columns[block]] = max(entered[block, unit], ZERO)
    added = _summaries(hidden, counts, summary)

    sums = _convolved(hidden, near, GAPS[0])
    for unit in range(units):
        for column in columns:
            hidden[unit, column] = max(sums[unit, column], ZERO)

    sums = _convolved(hidden, far, GAPS[1])
    weights, bias = out
    said = np.full(blocks, bias[0])
    for unit in range(units):
        for block in range(blocks):
            said[block] += max(sums[unit, columns[block]] + added[pages[block], unit], ZERO) * weights[unit]
    return said


@compiled
def _summaries(hidden: Floats, counts: Ints, weights: Floats) -> Floats:
    """[pages, units]: the most and the mean of each hidden unit in a page, by their weights."""
    units = len(hidden)
    sums = np.zeros((len(counts), units), np.float32)
    end = 0
    for page in range(len(counts)):
        start = end + REACH
        end = start + counts[page]
        for other in range(units):
            most = total = ZERO
            for column in range(start, end):
                most = max(most, hidden[other, column])
                total += hidden[other, column]
            mean = np.float32(total / counts[page])
            for unit in range(units):
                sums[page, unit] += most * weights[other, unit] + mean * weights[units + other, unit]
    return sums


@compiled
def _convolved(hidden: Floats, layer: Layer, gap: int) -> Floats:
    """hidden + bias + the WINDOW columns around each, by their weights; as wide as hidden."""
    weights, bias = layer
    units, columns = hidden.shape
    taps = weights.reshape(WINDOW, units, units)
    inner, first = columns - 2 * REACH, REACH - gap * (WINDOW // 2)
    sums = hidden.copy()
    for unit in range(units):
        row = sums[unit, REACH : REACH + inner]
        for column in range(inner):
            row[column] += bias[unit]
        for other in range(units):
            seen = hidden[other, first:]
            a, b, c, d, e = seen[:inner], seen[gap:], seen[2 * gap :], seen[3 * gap :], seen[4 * gap :]
            wa, wb, wc = taps[0, other, unit], taps[1, other, unit], taps[2, other, unit]
            wd, we = taps[3, other, unit], taps[4, other, unit]
            for column in range(inner):
                row[column] += wa * a[column] + wb * b[column] + wc * c[column] + wd * d[column] + we * e[column]
    return sums
