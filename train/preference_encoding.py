"""A preference pair as tokens: the prompt, and the two answers to it.

<|user|>question<|end|><|assistant|>chosen answer<|end|>      learned of: the answer and its <|end|>, the last turn
<|user|>question<|end|><|assistant|>rejected answer<|end|>    alone; earlier answers are part of the prompt

or as another chat template writes it. train/preference_file.py makes rows of them.
"""

from __future__ import annotations

from dataclasses import dataclass

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
        """Tokens of the prompt with the longer answer: the model reads all of them, so no more than its context."""
        return len(self.prompt) + max(len(self.chosen), len(self.rejected))


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
