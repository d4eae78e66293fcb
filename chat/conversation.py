"""A conversation that goes on turn by turn: its messages, its system prompt, and what can be done with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ..core.errors import InputError
from ..core.files import write_text
from .session import ChatSession, Message, Options, TextStream

AGAIN = 1 << 20  # between the seeds of answers to the same question; of a seed torch takes the lower 32 bits


class Conversation:
    """`turns` are the messages of user and assistant; turns that no longer fit are dropped for good.

    A turn's seed is the given one plus the number of turns before it: the same conversation has the same answers.
    """

    def __init__(self, session: ChatSession, options: Options) -> None:
        self.session, self.options = session, options
        self.system = ""
        self.turns: list[Message] = []
        self._again = 0  # answers to the last question that were not wanted

    def ask(self, question: str, show: Callable[[TextStream], None]) -> TextStream:
        """Let `show` read the answer, and add both to the turns.

        An answer that is stopped (`show` raises) or empty leaves the turns as they were. Raises InputError for a
        question that is longer than the context.
        """
        head = [{"role": "system", "content": self.system}] if self.system else []
        messages = self.session.fit([*head, *self.turns, {"role": "user", "content": question}], self.options)
        seed = self.options.seed + len(self.turns) // 2 + self._again * AGAIN
        stream = self.session.answer(messages, replace(self.options, seed=seed % (1 << 63)))
        show(stream)
        if stream.text.strip():
            self.turns = [*messages[len(head) :], {"role": "assistant", "content": stream.text}]
            self._again = 0
        return stream

    def ask_again(self, show: Callable[[TextStream], None]) -> TextStream:
        """Another answer to the last question, in place of the one before. Raises InputError when there is none."""
        if not self.turns:
            raise InputError("nothing has been answered yet", "ask a question first")
        kept, again = self.turns, self._again + 1
        self.turns, self._again = kept[:-2], again
        answered = False
        try:
            stream = self.ask(kept[-2]["content"], show)
            answered = bool(stream.text.strip())
        finally:
            self._again = again
            if not answered:
                self.turns = kept
        return stream

    def reset(self) -> None:
        self.turns, self._again = [], 0

    def save(self, file: Path) -> None:
        """Write the conversation: .json and .jsonl as messages, the latter as a row for fine-tuning, else Markdown.

        Raises InputError when the file exists, or cannot be.
        """
        head = [{"role": "system", "content": self.system}] if self.system else []
        messages = [*head, *self.turns]
        try:
            if file.exists():
                raise InputError(f"{file} exists already", "give a new file")
            if file.suffix in (".json", ".jsonl"):
                indent = 1 if file.suffix == ".json" else None
                write_text(file, json.dumps({"messages": messages}, ensure_ascii=False, indent=indent) + "\n")
            else:
                write_text(file, "\n".join(f"**{one['role']}**\n\n{one['content']}\n" for one in messages))
        except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
            reason = error.strerror if isinstance(error, OSError) else error
            raise InputError(f"{file} cannot be written: {reason}", "give another file") from error
