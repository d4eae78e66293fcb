"""From pairs of texts to token ids: what the model reads, and what it is asked the likelihood of.

As in lm-evaluation-harness (`TemplateLM._encode_pair`, `HFLM._loglikelihood_tokens`): context and continuation are
encoded together and cut where the context's own ids end; blanks at the context's end belong to the continuation; an
empty context is the token that texts begin with; what is too long for the model loses its beginning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..core.errors import InputError
from .text_tokenizer import TextTokenizer


@dataclass(frozen=True)
class Request:
    """`inputs` predict `targets` at their last len(targets) places; the last target is no input."""

    inputs: tuple[int, ...]
    targets: tuple[int, ...]
    bytes: int  # of the targets' text in UTF-8


def encode_pairs(tokenizer: TextTokenizer, pairs: Sequence[tuple[str, str]], context: int) -> list[Request]:
    """A request of each (context, continuation), of at most `context` inputs.

    Raises InputError for a continuation that has no token of its own, or more than the model's context.
    """
    split = [_blanks_to_the_right(*pair) for pair in pairs]
    texts = list(dict.fromkeys(text for before, after in split for text in (before, before + after)))
    ids = dict(zip(texts, tokenizer.encode_batch(texts), strict=True))
    return [
        _request(ids[before] or [tokenizer.prefix_id], _rest(ids, before, after), after, context)
        for before, after in split
    ]


def _blanks_to_the_right(before: str, after: str) -> tuple[str, str]:
    kept = before.rstrip()
    return kept, before[len(kept) :] + after


def _rest(ids: dict[str, list[int]], before: str, after: str) -> list[int]:
    return ids[before + after][len(ids[before]) :]


def _request(before: list[int], after: list[int], text: str, context: int) -> Request:
    if not after:
        raise InputError(f"the continuation {text[:60]!r} has no token of its own", "begin it with a blank")
    if len(after) > context:
        raise InputError(
            f"the continuation {text[:60]!r} has {len(after)} tokens, the model's context {context}",
            "leave this task out, or take a model of a longer context",
        )
    return Request(tuple([*before, *after][-(context + 1) : -1]), tuple(after), len(text.encode()))
