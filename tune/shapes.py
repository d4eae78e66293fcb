"""A shape for a number of parameters, by proportions of models that are in use.

Width over layers grows slowly with the size, from 24 at 50 thousand to 128 at 8 billion parameters, as it does over the
table's rows and GPT-3's and Llama's; within a factor of two it hardly matters (Kaplan et al. 2020, figure 5). Heads are
16, 32, 64 or 128 wide; several query heads share keys and values (Ainslie et al. 2023); feed_forward is about 8/3 of
the width (Shazeer 2020) and takes up the rest.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from ..core.errors import InputError
from .table import Shape

MOST_LAYERS = 200
MOST_OFF = 0.05  # of the parameters asked for


def shape_for(parameters: float, vocab_size: int, context: int | None = None) -> Shape:
    """The shape whose parameters, with a vocabulary of this size, come nearest; 0 leaves the embedding out.

    Raises InputError when the embedding alone takes up what there is.
    """
    length = context or context_for(parameters)
    layers = range(1, MOST_LAYERS + 1)
    found = [one for number in layers for one in _widths(number, parameters, vocab_size, length)]
    _, off, shape = min(found, key=lambda one: one[0], default=(0.0, 1.0, None))
    if shape is None or off > MOST_OFF:
        raise InputError(
            f"no shape of {parameters:.3g} parameters with a vocabulary of {vocab_size}",
            "ask for more parameters, or for fewer tokens with --vocab",
        )
    return shape


def context_for(parameters: float) -> int:
    """Tokens of a row: 128 for the smallest, 8192 from a billion on, by powers of two."""
    return 2 ** min(13, max(7, round(7 + 6 * math.log10(parameters / 3e5) / math.log10(1e9 / 3e5))))


def vocabulary_for(parameters: float) -> int:
    """Larger models deserve larger vocabularies (Tao et al. 2024): 512 below 500 thousand parameters, then by steps."""
    steps = ((5e5, 512), (1e6, 2048), (1e7, 4096), (1e8, 8192), (3e9, 32768))
    return next((size for limit, size in steps if parameters < limit), 131072)


def aspect_for(parameters: float) -> float:
    """Width over layers."""
    return min(128.0, 24 * (parameters / 5e4) ** 0.14)


def _head_size(width: float) -> int:
    return next((size for limit, size in ((96, 16), (256, 32), (2048, 64)) if width < limit), 128)


def _kv_heads(heads: int) -> int:
    """One for each eight query heads from 64 on, for each four from 16 on; where that leaves a remainder, fewer."""
    most = 8 if heads >= 64 else 4 if heads >= 16 else 2 if heads >= 8 else 1
    return heads // next(share for share in range(most, 0, -1) if heads % share == 0)


def _widths(layers: int, parameters: float, vocab_size: int, context: int) -> Iterator[tuple[float, float, Shape]]:
    """Shapes of so many layers: how far each is from all that is wanted, how far from the parameters, the shape."""
    wanted = layers * aspect_for(parameters)
    size = _head_size(wanted)
    unit = 8 if wanted / size >= 32 else 4 if wanted / size >= 16 else 1  # heads that divide well
    for heads in {max(1, round(wanted / size / unit) + more) * unit for more in (-2, -1, 0, 1, 2)}:
        width = heads * size
        kv_heads = _kv_heads(heads)
        attention = 2 * width * width * (1 + kv_heads / heads)
        room = ((parameters - vocab_size * width) / layers - attention) / (3 * width)
        step = 8 if width < 256 else 32 if width < 1024 else 256
        inner = max(step, round(room / step) * step)
        if not 1.5 * width <= inner <= 4 * width:
            continue
        shape = Shape(
            layers=layers, width=width, heads=heads, kv_heads=kv_heads, head_size=size, feed_forward=inner,
            context=context,
        )  # fmt: skip
        counted = layers * (attention + 3 * width * inner) + vocab_size * width
        off = abs(math.log(counted / parameters))
        yield 20 * off + abs(math.log(width / wanted)) + abs(math.log(inner / (8 / 3 * width))), off, shape
