"""Conversations as tokens, with the mask that says which of them the model learns to write.

    <|user|>question<|end|><|assistant|>answer<|end|><|user|>…

This is our own template; tokenize/chatml.py and tokenize/jinja_chat.py have others. Special tokens come in by their ids
and contents as ordinary text, so a content that spells `<|end|>` ends nothing. The mask is True on each answer and on
the <|end|> behind it: the model learns to answer and to stop, not to ask.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from ..core.errors import InputError
from .bpe import ASSISTANT, END, USER, Tokenizer

MARKS = {"user": USER, "assistant": ASSISTANT}
Messages = Sequence[Mapping[str, str]]


class ChatTemplate(Protocol):
    """Any of the templates."""

    def encode(self, messages: Messages, generation_prompt: bool = False) -> tuple[list[int], list[bool]]:
        """As `encode_chat`; the first message may be the system's. Raises InputError naming message and fault."""
        ...


class OwnTemplate:
    """Our template. It has no token for the system, whose message goes before the first question."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Raises InputError when the tokenizer lacks one of the special tokens, as one made elsewhere does."""
        for name in (USER, ASSISTANT, END):
            if name not in tokenizer.special_tokens:
                raise InputError(
                    f"{tokenizer.name} has no special token {name}, which the chat template house writes",
                    "take the model's own template (leave finetune.data.template out), chatml, or another model's "
                    "with jinja",
                )
        self._tokenizer = tokenizer

    def encode(self, messages: Messages, generation_prompt: bool = False) -> tuple[list[int], list[bool]]:
        check_turns(messages, generation_prompt, system=True)
        if messages[0]["role"] == "system":
            first = f"{messages[0]['content']}\n\n{messages[1]['content']}"
            messages = [{"role": "user", "content": first}, *messages[2:]]
        return encode_chat(self._tokenizer, messages, generation_prompt)


def encode_chat(
    tokenizer: Tokenizer, messages: Sequence[Mapping[str, str]], generation_prompt: bool = False
) -> tuple[list[int], list[bool]]:
    """Ids and loss mask, of equal length, of messages {role, content} in which user and assistant take turns.

    With `generation_prompt` the last message is the user's, and <|assistant|> follows for the model to go on. Raises
    InputError naming the message when there is none, a role is unknown or out of turn, or a content is empty.
    """
    check_turns(messages, generation_prompt)
    end = tokenizer.special(END)
    ids: list[int] = []
    mask: list[bool] = []
    for message in messages:
        content = [*tokenizer.encode(message["content"]), end]
        ids += [tokenizer.special(MARKS[message["role"]]), *content]
        mask += [False] + [message["role"] == "assistant"] * len(content)
    if generation_prompt:
        ids.append(tokenizer.special(ASSISTANT))
        mask.append(False)
    return ids, mask


def check_turns(messages: Messages, generation_prompt: bool = False, system: bool = False) -> None:
    """Raise InputError unless user and assistant take turns, all with text. `system`: its message may come first."""
    begin = int(system and bool(messages) and messages[0].get("role") == "system")
    if len(messages) == begin:
        raise InputError("a conversation without messages", "give at least the user's question")
    for number, message in enumerate(messages, 1):
        role, content = message.get("role"), message.get("content")
        turn = "system" if number <= begin else ("user", "assistant")[(number - 1 - begin) % 2]
        if role not in MARKS and role != turn:
            known = ["system"] * system + list(MARKS)
            raise InputError(f"message {number} has the role {role!r}", f"use one of: {', '.join(known)}")
        if role != turn:
            raise InputError(
                f"message {number} is the {role}'s, it is the {turn}'s turn", "begin with the user, then take turns"
            )
        if not isinstance(content, str) or not content.strip():
            raise InputError(f"message {number} ({role}) has no text: {content!r}", "give it one, or leave it out")
    if generation_prompt and messages[-1]["role"] != "user":
        raise InputError("the last message is the assistant's: nothing to answer", "end with a question of the user")
