"""A new row of the scaling table, from parameters, from compute, or from hours on GPUs.

The shape is that of tune/shapes.py. Tokens make the size the best one for its compute by the law of the loss, or use up
the compute that is given; learning rate and batch are those of their laws; the rate rises for as many tokens as there
are parameters (Porian et al. 2024), at most a tenth of all; the weight decay is that of GPT-3 and Llama.
"""

from __future__ import annotations

import math

from ..core.errors import InputError
from .laws import FLOPS_PER_PARAMETER, Laws
from .shapes import shape_for, vocabulary_for
from .table import Row, Shape

WEIGHT_DECAY = 0.1
DERIVED = ["batch_tokens", "tokens", "learning_rate", "weight_decay", "warmup_tokens"]
LEAST_PARAMETERS, MOST_PARAMETERS = 5e4, 1e12


def row_for_parameters(parameters: float, laws: Laws, vocab_size: int | None = None, context: int | None = None) -> Row:
    """A row of about so many parameters, the embedding among them, trained for the law's number of tokens."""
    if not LEAST_PARAMETERS <= parameters <= MOST_PARAMETERS:
        raise InputError(
            f"{parameters:.3g} parameters: no rules for such a size",
            f"ask for {LEAST_PARAMETERS:.0e} to {MOST_PARAMETERS:.0e}",
        )
    vocabulary = vocab_size or vocabulary_for(parameters)
    return row_of(shape_for(parameters, vocabulary, context), vocabulary, laws)


def row_for_flops(flops: float, laws: Laws, vocab_size: int | None = None, context: int | None = None) -> Row:
    """The row that the law of the loss finds best for so many FLOPs, which its tokens use up: attention's, too.

    The law's compute is 6 N D, so the size is searched at which the law's tokens cost the FLOPs as we count them.
    """
    least, most = (_cost(size, laws, vocab_size, context) for size in (LEAST_PARAMETERS, MOST_PARAMETERS))
    if not least <= flops <= most:
        raise InputError(f"{flops:.3g} FLOPs: no rules for so few or so many", f"ask for {least:.2g} to {most:.2g}")
    low, high = math.log(LEAST_PARAMETERS), math.log(MOST_PARAMETERS)
    for _ in range(24):
        middle = (low + high) / 2
        low, high = (middle, high) if _cost(math.exp(middle), laws, vocab_size, context) < flops else (low, middle)
    row = row_for_parameters(math.exp(high), laws, vocab_size, context)
    config = row.own_config()
    return row_of(row, row.vocab_size, laws, flops / config.flops_per_token())


def row_of(shape: Shape, vocab_size: int, laws: Laws, tokens: float | None = None) -> Row:
    """A shape with what the laws say. `tokens` of None: those that make its size the best one for its compute."""
    parameters = shape.config(vocab_size).parameters()
    length = tokens or laws.loss.tokens_for(parameters)
    measures = measures_of(shape, vocab_size, length)
    batch = laws.batch_tokens.value(**measures)
    rows = max(1, round(batch / shape.context))
    return Row(
        **shape.model_dump(include=set(Shape.model_fields)),
        vocab_size=vocab_size,
        batch_tokens=float(rows * shape.context),
        tokens=rounded(length),
        learning_rate=rounded(laws.learning_rate.value(**measures), 2),
        weight_decay=WEIGHT_DECAY,
        warmup_tokens=rounded(min(parameters, length / 10)),
        source=_sources(laws),
        derived=DERIVED,
        beyond=beyond(laws, measures),
    )


def _sources(laws: Laws) -> str:
    named: dict[str, list[str]] = {}
    for name in Laws.model_fields:
        named.setdefault(getattr(laws, name).source, []).append(name.replace("_", " "))
    return "; ".join(["shape: tune/shapes.py", *(f"{', '.join(what)}: {source}" for source, what in named.items())])


def measures_of(shape: Shape, vocab_size: int, tokens: float) -> dict[str, float]:
    """What laws may be powers of."""
    parameters = float(shape.config(vocab_size).parameters())
    blocks = float(shape.parameters_without_embedding())
    flops = FLOPS_PER_PARAMETER * parameters * tokens
    return {"parameters": parameters, "block_parameters": blocks, "tokens": tokens, "flops": flops}


def beyond(laws: Laws, measures: dict[str, float]) -> list[str]:
    """Which laws are read outside the points that they were fitted to, and by how much."""
    found = ((name, getattr(laws, name).beyond(**measures)) for name in Laws.model_fields)
    return [f"{name.replace('_', ' ')}: {words}" for name, listed in found for words in listed]


def rounded(value: float, digits: int = 3) -> float:
    """To so many digits that count."""
    return float(f"{value:.{digits}g}")


def _cost(parameters: float, laws: Laws, vocab_size: int | None, context: int | None) -> float:
    config = row_for_parameters(parameters, laws, vocab_size, context).own_config()
    return config.flops_per_token() * laws.loss.tokens_for(config.parameters())
