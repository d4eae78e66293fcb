"""`crawl2chat chat`: a conversation in the terminal, or with questions from a pipe, one a line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..core.errors import InputError
from ..core.log import log
from ..core.run import Run
from .conversation import Conversation
from .generate import show
from .session import ChatSession, Options, TextStream

COMMANDS = {
    "/help": "these lines",
    "/system TEXT": "set the system prompt, and begin anew; without TEXT, show it; with - remove it",
    "/regenerate": "another answer to the last question",
    "/reset": "forget the conversation",
    "/save FILE": "write it down: .json, .jsonl (a row for fine-tuning), else Markdown",
    "/quit": "leave, as Ctrl-D does",
}
KEYS = "Enter sends, Alt-Enter makes a new line, Ctrl-C stops an answer, the arrow keys recall questions"


def run_chat(run: Run | Path, **options: Any) -> int:
    """Answer line by line until the input ends; `run` may be an imported model's folder. `options`: the fields of
    session.Options.

    Returns 0, or 2 when a line from a pipe could not be answered (the others are).
    """
    name, recipe = (run.name, None) if isinstance(run, Path) else (run.recipe.name, run.recipe)
    conversation = Conversation(ChatSession.open(run), Options.of(recipe, **options))
    interactive = sys.stdin.isatty()
    if interactive:
        print(f"{name}: ask it something. /help tells what else there is, Ctrl-D leaves.")
    code = 0
    for line in _typed(run) if interactive else _piped():
        if line == "/quit":
            break
        try:
            _obey(conversation, line, interactive)
        except InputError as error:
            log.error("%s", error)
            code = code if interactive else error.exit_code
        except KeyboardInterrupt:
            if not interactive:
                raise
            show(["\n"])
    return code


def _obey(conversation: Conversation, line: str, interactive: bool) -> None:
    """Do what a line says. Raises InputError when it cannot be done."""

    def tell(stream: TextStream) -> None:
        show(stream)
        show(["\n"])
        if interactive:
            _remark(f"{stream.tokens} tokens, {stream.tokens / max(stream.seconds, 1e-9):.0f} a second")

    word, _, rest = line.partition(" ")
    rest = rest.strip()
    if not line.startswith("/"):
        conversation.ask(line, tell)
    elif word == "/help":
        width = max(map(len, COMMANDS))
        show([f"{name:{width}}  {about}\n" for name, about in COMMANDS.items()])
        show([f"{KEYS}\n"])
    elif word == "/system" and not rest:
        show([(conversation.system or "there is no system prompt") + "\n"])
    elif word == "/system":
        conversation.system = "" if rest == "-" else rest
        conversation.reset()
    elif word == "/regenerate":
        conversation.ask_again(tell)
    elif word == "/reset":
        conversation.reset()
    elif word == "/save":
        if not rest:
            raise InputError("/save without a file", "/save talk.md")
        conversation.save(_file(rest))
        if interactive:
            _remark(f"written: {rest}")
    else:
        log.warning("no command %s: /help lists them", word)


def _file(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError as error:  # ~ of a user that there is not
        raise InputError(f"{text}: {error}", "/save talk.md") from error


def _piped() -> Iterator[str]:
    """Lines of standard input without blanks around them, empty ones left out."""
    for line in iter(sys.stdin.readline, ""):
        if line.strip():
            yield line.strip()


def _typed(run: Run | Path) -> Iterator[str]:
    """What the user types, until Ctrl-D; questions are remembered in the run's logs/chat_history."""
    from prompt_toolkit.formatted_text import HTML

    from .prompt import make_prompt

    folder = run if isinstance(run, Path) else run.folder
    session = make_prompt(folder / "logs" / "chat_history", list(COMMANDS))
    while True:
        try:
            line = session.prompt(HTML("<ansicyan><b>› </b></ansicyan>")).strip()
        except KeyboardInterrupt:  # gives up the line
            continue
        except EOFError:
            print()
            return
        if line:
            yield line


def _remark(text: str) -> None:
    """A line about the answer, dimmed."""
    if sys.stdout.isatty():
        text = f"\x1b[2m{text}\x1b[0m"
    print(text)
