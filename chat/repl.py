"""`crawl2chat chat`: a conversation in the terminal, or with questions from a pipe, one a line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..core.errors import InputError
from ..core.log import log
from ..core.run import Run
from .generate import show
from .session import ChatSession, Message, Options

HELP = "/reset forgets the conversation, /quit (or Ctrl-D) leaves, Ctrl-C stops an answer"


def run_chat(run: Run | Path, **options: Any) -> int:
    """Answer line by line until the input ends; `run` may be an imported model's folder. `options`: the fields of
    session.Options.

    Returns 0, or 2 when a question from a pipe could not be answered (the others are).
    """
    name, recipe = (run.name, None) if isinstance(run, Path) else (run.recipe.name, run.recipe)
    chosen = Options.of(recipe, **options)
    session = ChatSession.open(run)
    interactive = sys.stdin.isatty()
    if interactive:
        print(f"{name}: {HELP}")
    code = 0
    history: list[Message] = []
    for line in _questions(interactive):
        if line == "/quit":
            break
        if line == "/reset":
            history.clear()
        elif line.startswith("/"):
            log.warning("no command %s: %s", line, HELP)
        else:
            try:
                _turn(session, history, line, chosen)
            except InputError as error:
                log.error("%s", error)
                code = code if interactive else error.exit_code
            except KeyboardInterrupt:
                if not interactive:
                    raise
                show(["\n"])
    return code


def _turn(session: ChatSession, history: list[Message], question: str, options: Options) -> None:
    """Ask, show the answer, and add both to the history, whose turns that no longer fit are dropped for good.

    A turn's seed is the given one plus the number of turns before it: the same conversation has the same answers. An
    answer that is stopped or empty leaves the history as it was.
    """
    messages = session.fit([*history, {"role": "user", "content": question}], options)
    stream = session.answer(messages, replace(options, seed=options.seed + len(history) // 2))
    show(stream)
    show(["\n"])
    if stream.text.strip():
        history[:] = [*messages, {"role": "assistant", "content": stream.text}]


def _questions(interactive: bool) -> Iterator[str]:
    """Lines of the input without blanks around them, empty ones left out."""
    if interactive:
        with suppress(ImportError):
            import readline  # noqa: F401  gives input() editing and a history
    while True:
        try:
            line = input("> ") if interactive else sys.stdin.readline()
        except EOFError:
            print()
            return
        if not interactive and not line:
            return
        if line.strip():
            yield line.strip()
