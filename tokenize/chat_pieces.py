"""What a chat template writes, in pieces, and the pieces as tokens.

A piece is a special token or a stretch of text, learned or not. Neighbouring texts are encoded together, as they would
be in one string, but not across the border of what is learned: the tokens before an answer are those of the prompt that
the model is given when it is to write one. Text is text, whatever it spells.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

from ..core.errors import InputError


class TextTokenizer(Protocol):
    """What templates need of a tokenizer: tokenize/bpe.Tokenizer is one."""

    @property
    def special_tokens(self) -> Mapping[str, int]: ...

    def encode(self, text: str) -> list[int]:
        """Ids of a text; no special token is among them."""
        ...


@dataclass(frozen=True)
class Piece:
    text: str
    learned: bool = False
    special: bool = False  # the text is a special token's name


def encode_pieces(tokenizer: TextTokenizer, pieces: Iterable[Piece]) -> tuple[list[int], list[bool]]:
    """Ids and loss mask, of equal length. Raises InputError for a special token that the tokenizer does not have."""
    ids: list[int] = []
    mask: list[bool] = []
    for (learned, special), group in groupby(pieces, key=lambda piece: (piece.learned, piece.special)):
        texts = [piece.text for piece in group]
        found = [special_id(tokenizer, one) for one in texts] if special else tokenizer.encode("".join(texts))
        ids += found
        mask += [learned] * len(found)
    return ids, mask


def special_id(tokenizer: TextTokenizer, name: str) -> int:
    if name not in tokenizer.special_tokens:
        raise InputError(
            f"the tokenizer has no special token {name}, which the chat template writes",
            "name it in tokenizer.special_tokens before the tokenizer is trained, or take another template",
        )
    return tokenizer.special_tokens[name]
