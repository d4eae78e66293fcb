"""Preference pairs as token rows: chosen ones, then rejected ones, in one batch for one forward pass.

<|user|>question<|end|><|assistant|>chosen answer<|end|>      mask: True on the answer and its <|end|>, the last turn
<|user|>question<|end|><|assistant|>rejected answer<|end|>    alone: earlier answers are part of the prompt
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.errors import InputError
from ..tokenize.bpe import Tokenizer
from ..tokenize.chat_template import encode_chat
from .preference_rows import Pair


@dataclass(frozen=True)
class EncodedPair:
    """Ids of the prompt, which ends with <|assistant|>, and of both answers, which end with <|end|>."""

    prompt: list[int]
    chosen: list[int]
    rejected: list[int]

    @property
    def longest(self) -> int:
        return len(self.prompt) + max(len(self.chosen), len(self.rejected))


def encode_pairs(tokenizer: Tokenizer, pairs: Sequence[Pair], context: int) -> tuple[list[EncodedPair], dict[str, int]]:
    """Encode what the chat template takes and fits the context, and count the rest: `template`, `too_long`.

    A pair is never cut: what tells the answers apart may stand behind the cut.
    """
    encoded: list[EncodedPair] = []
    counts = {"template": 0, "too_long": 0}
    for pair in pairs:
        try:
            one = encode_pair(tokenizer, pair)
        except InputError:
            counts["template"] += 1
            continue
        if one.longest > context + 1:
            counts["too_long"] += 1
            continue
        encoded.append(one)
    return encoded, counts


def encode_pair(tokenizer: Tokenizer, pair: Pair) -> EncodedPair:
    """Raises InputError naming file and line when the chat template has no place for a message."""
    try:
        prompt, _ = encode_chat(tokenizer, pair.prompt, generation_prompt=True)
        sides = [
            encode_chat(tokenizer, [*pair.prompt, {"role": "assistant", "content": text}])[0]
            for text in (pair.chosen, pair.rejected)
        ]
    except InputError as error:
        raise InputError(f"{pair.source}: {error.message}", error.fix) from error
    assert all(side[: len(prompt)] == prompt for side in sides), "both answers follow the same prompt"
    chosen, rejected = (side[len(prompt) :] for side in sides)
    return EncodedPair(prompt, chosen, rejected)


def pair_batch(pairs: Sequence[EncodedPair]) -> tuple[Tensor, Tensor]:
    """(tokens int64, answer bool), each [2 · pairs, tokens of the longest row]; padding is token 0, behind the rows."""
    rows = [
        (pair.prompt, answer) for side in ("chosen", "rejected") for pair in pairs for answer in [getattr(pair, side)]
    ]
    width = max(len(prompt) + len(answer) for prompt, answer in rows)
    tokens_BT = torch.zeros(len(rows), width, dtype=torch.long)
    answer_BT = torch.zeros(len(rows), width, dtype=torch.bool)
    for row, (prompt, answer) in enumerate(rows):
        stop = len(prompt) + len(answer)
        tokens_BT[row, :stop] = torch.tensor([*prompt, *answer])
        answer_BT[row, len(prompt) : stop] = True
    return tokens_BT, answer_BT
