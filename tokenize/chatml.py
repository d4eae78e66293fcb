"""ChatML, the chat template of many models:

    <|im_start|>system
    text<|im_end|>
    <|im_start|>user
    question<|im_end|>
    <|im_start|>assistant
    answer<|im_end|>

with a line end behind each <|im_end|>. Learned: each answer and its <|im_end|>, not the line end behind. The two
special tokens must be the tokenizer's: `tokenizer.special_tokens` in a recipe. OpenAI 2023, "Chat Markup Language".
"""

from __future__ import annotations

from collections.abc import Iterator

from .chat_pieces import Piece, TextTokenizer, encode_pieces, special_id
from .chat_template import Messages, check_turns

START, END = "<|im_start|>", "<|im_end|>"


class ChatML:
    def __init__(self, tokenizer: TextTokenizer) -> None:
        """Raises InputError when the tokenizer lacks one of the special tokens."""
        for name in (START, END):
            special_id(tokenizer, name)
        self._tokenizer = tokenizer

    def encode(self, messages: Messages, generation_prompt: bool = False) -> tuple[list[int], list[bool]]:
        """Ids and loss mask; see tokenize/chat_template.py's ChatTemplate."""
        check_turns(messages, generation_prompt, system=True)
        return encode_pieces(self._tokenizer, _pieces(messages, generation_prompt))


def _pieces(messages: Messages, generation_prompt: bool) -> Iterator[Piece]:
    for message in messages:
        learned = message["role"] == "assistant"
        yield Piece(START, special=True)
        yield Piece(f"{message['role']}\n")
        yield Piece(message["content"], learned)
        yield Piece(END, learned, special=True)
        yield Piece("\n")
    if generation_prompt:
        yield Piece(START, special=True)
        yield Piece("assistant\n")
