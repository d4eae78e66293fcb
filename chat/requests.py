"""What the engine is asked for, and what it gives: requests in, pieces of text out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ..core.errors import InputError
from ..model.batch_sampling import Sampling

Finish = Literal["stop", "length"]


@dataclass(frozen=True)
class Request:
    """A prompt, and how its continuation is drawn and when it ends.

    max_tokens counts new tokens; the end of the model's context ends a text before. A text also ends at a token of
    `stop_ids`, and before the first string of `stop`, which belong to neither text nor tokens. `logprobs`: None, or of
    how many of the likeliest tokens the log-probabilities are wanted beside the chosen one's.
    """

    ids: tuple[int, ...]
    max_tokens: int
    sampling: Sampling = field(default_factory=Sampling)
    stop_ids: frozenset[int] = frozenset()
    stop: tuple[str, ...] = ()
    logprobs: int | None = None

    def __post_init__(self) -> None:
        if not self.ids:
            raise InputError("the prompt is empty", "give at least one token")
        if self.max_tokens < 1:
            raise InputError(f"max_tokens is {self.max_tokens}", "give at least 1")
        if "" in self.stop:
            raise InputError("a stop string is empty", "give at least one character")


@dataclass(frozen=True)
class Written:
    """A token that the model wrote, with natural log-probabilities of the model itself, before temperature and cuts."""

    token: int
    logprob: float | None = None
    likeliest: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Piece:
    """A part of a text, and the tokens that it is made of. The last one says why the text ends.

    A token's characters may come in a later piece than those of the tokens before it in this one: what could be the
    beginning of a stop string, or half a character, waits. `error` in place of an end: the text could not be finished.
    """

    text: str
    written: tuple[Written, ...] = ()
    finish: Finish | None = None
    error: str | None = None

    @property
    def last(self) -> bool:
        return self.finish is not None or self.error is not None
