"""The terminal chat: with a pipe, as a process of its own, and as on a terminal."""

from __future__ import annotations

import builtins
import io
import subprocess
import sys

import pytest
from crawl2chat.chat import repl
from crawl2chat.chat.repl import run_chat
from crawl2chat.chat.session import ChatSession
from crawl2chat.core.run import Run

QUESTION = "What is an acid?"
ANSWER = "An acid is sour; “très” sour, 漢字 and 🙂."


def piped(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))


@pytest.fixture
def prompts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Number of messages that each answer is given for."""
    lengths: list[int] = []
    answer = ChatSession.answer

    def spy(self, messages, options):
        lengths.append(len(messages))
        return answer(self, messages, options)

    monkeypatch.setattr(ChatSession, "answer", spy)
    return lengths


def test_one_answer_a_line(run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    piped(monkeypatch, QUESTION, "", "/reset", f"  {QUESTION} ")
    assert run_chat(run) == 0
    assert capsys.readouterr().out == f"{ANSWER}\n{ANSWER}\n"


def test_history_grows_until_reset_and_quit_ends(run: Run, monkeypatch: pytest.MonkeyPatch, prompts: list[int]) -> None:
    piped(monkeypatch, QUESTION, QUESTION, "/reset", QUESTION, "/quit", QUESTION)
    assert run_chat(run, max_tokens=8) == 0
    assert prompts == [1, 3, 1]


def test_history_is_cut_to_the_context(run: Run, monkeypatch: pytest.MonkeyPatch, prompts: list[int]) -> None:
    piped(monkeypatch, *[QUESTION] * 20)
    assert run_chat(run, max_tokens=20) == 0
    assert len(prompts) == 20
    assert prompts[:3] == [1, 3, 5]
    assert 5 <= max(prompts) < 20


def test_a_question_too_long_is_named_and_the_others_answered(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    piped(monkeypatch, QUESTION + " why?" * 200, QUESTION)
    assert run_chat(run) == 2
    assert capsys.readouterr().out == f"{ANSWER}\n"


def test_unknown_command_is_no_question(run: Run, monkeypatch: pytest.MonkeyPatch, prompts: list[int]) -> None:
    piped(monkeypatch, "/rest", QUESTION)
    assert run_chat(run, max_tokens=3) == 0
    assert prompts == [1]


def test_on_a_terminal(run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C in an answer leaves the conversation as it was, a question too long is told, Ctrl-D ends."""
    typed = iter([QUESTION, "too long " * 200, QUESTION])

    def ask(prompt: str) -> str:
        try:
            return next(typed)
        except StopIteration:
            raise EOFError from None

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    shown = repl.show
    interrupted = []

    def interrupt_once(pieces) -> None:
        if not interrupted:
            interrupted.append(True)
            raise KeyboardInterrupt
        shown(pieces)

    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(builtins, "input", ask)
    monkeypatch.setattr(repl, "show", interrupt_once)
    assert run_chat(run) == 0
    out = capsys.readouterr().out
    assert out.count(ANSWER) == 1
    assert "/quit" in out


def test_as_a_process_with_bytes_that_are_no_text(run: Run) -> None:
    """The command itself, fed by a pipe; a line of broken UTF-8 does not end it."""
    command = [sys.executable, "-m", "crawl2chat", "chat", "--run", str(run.folder)]
    done = subprocess.run(
        command, input=f"{QUESTION}\n/reset\ncaf\udce9?\n".encode("utf-8", "surrogateescape"), capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
    said = done.stdout.decode().splitlines()
    assert said[0] == ANSWER and len(said) >= 2
