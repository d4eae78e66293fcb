"""The line editor of the chat in a terminal: history, several lines, completion of commands."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent


class Commands(Completer):
    """Completes the first word of a line that begins with a slash."""

    def __init__(self, commands: Sequence[str]) -> None:
        self._commands = [command.split()[0] for command in commands]

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        before = document.text_before_cursor
        if before.startswith("/") and " " not in before:
            for command in self._commands:
                if command.startswith(before):
                    yield Completion(command, start_position=-len(before))


def make_prompt(history: Path, commands: Sequence[str]) -> PromptSession[str]:
    """Enter sends, Alt-Enter (or Esc, Enter) makes a new line."""
    keys = KeyBindings()

    @keys.add("escape", "enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return PromptSession(
        history=_history(history),
        auto_suggest=AutoSuggestFromHistory(),
        completer=Commands(commands),
        complete_while_typing=True,
        key_bindings=keys,
        prompt_continuation="  ",
    )


def _history(path: Path) -> History:
    """A file where one can be written, readable by its owner alone, else memory."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600))
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(path))
