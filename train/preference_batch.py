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
from ..tokenize.chat_template import ChatTemplate
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


def encode_pairs(
    template: ChatTemplate, pairs: Sequence[Pair], context: int
) -> tuple[list[EncodedPair], dict[str, int]]:
    """Encode what the chat template takes and fits the context, and count the rest: `template`, `too_long`.

    A pair is never cut: what tells the answers apart may stand behind the cut.
    """
    encoded: list[EncodedPair] = []
    counts = {"template": 0, "too_long": 0}
    for pair in pairs:
        try:
            one = encode_pair(template, pair)
        except InputError:
            counts["template"] += 1
            continue
        if one.longest > context + 1:
            counts["too_long"] += 1
            continue
        encoded.append(one)
    return encoded, counts


def encode_pair(template: ChatTemplate, pair: Pair) -> EncodedPair:
    """Raises InputError naming file and line when the chat template has no place for a message."""
    try:
        prompt, _ = template.encode(pair.prompt, generation_prompt=True)
        chosen, rejected = (_answer(template, prompt, pair, text) for text in (pair.chosen, pair.rejected))
    except InputError as error:
        raise InputError(f"{pair.source}: {error.message}", error.fix) from error
    return EncodedPair(prompt, chosen, rejected)


def truncated(pair: EncodedPair, context: int) -> EncodedPair | None:
    """The pair with answers that fit the context; None where the prompt leaves no room, or nothing tells them apart."""
    room = context - len(pair.prompt)
    cut = EncodedPair(pair.prompt, pair.chosen[: max(0, room)], pair.rejected[: max(0, room)])
    return None if room < 1 or cut.chosen == cut.rejected else cut


def _answer(template: ChatTemplate, prompt: list[int], pair: Pair, text: str) -> list[int]:
    """The ids of an answer, up to the last that is learned of it."""
    ids, learned = template.encode([*pair.prompt, {"role": "assistant", "content": text}])
    stop = len(learned) - learned[::-1].index(True)
    if ids[: len(prompt)] != prompt or stop <= len(prompt):
        raise InputError("the chat template writes an answer otherwise than it prompts for it", "take another template")
    return ids[len(prompt) : stop]


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
