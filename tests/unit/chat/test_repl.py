"""The terminal chat: with a pipe, as a process of its own, and as on a terminal."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from crawl2chat.chat import repl
from crawl2chat.chat.repl import run_chat
from crawl2chat.chat.session import ChatSession, TextStream
from crawl2chat.core.run import Run
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

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


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The questions that were asked."""
    questions: list[str] = []
    answer = ChatSession.answer

    def spy(self, messages, options):
        questions.append(messages[-1]["content"])
        return answer(self, messages, options)

    monkeypatch.setattr(ChatSession, "answer", spy)
    return questions


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


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[PipeInput]:
    """Standard input is a terminal, on which the test types."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()):
        yield pipe


ENTER, NEW_LINE, UP, CTRL_C, CTRL_D = "\r", "\x1b\r", "\x1b[A", "\x03", "\x04"


def test_on_a_terminal(
    run: Run, terminal: PipeInput, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C in an answer leaves the conversation as it was, a question too long is told, Ctrl-D ends."""
    shown = repl.show
    interrupted = []

    def interrupt_once(pieces) -> None:
        if not interrupted and isinstance(pieces, TextStream):
            interrupted.append(True)
            raise KeyboardInterrupt
        shown(pieces)

    monkeypatch.setattr(repl, "show", interrupt_once)
    terminal.send_text(f"{QUESTION}{ENTER}{'too long ' * 200}{ENTER}half{CTRL_C}{QUESTION}{ENTER}/help{ENTER}{CTRL_D}")
    assert run_chat(run) == 0
    out = capsys.readouterr().out
    assert out.count(ANSWER) == 1
    assert "tokens" in out.split(ANSWER)[1]
    assert "/quit" in out and "/regenerate" in out


def test_lines_and_history_on_a_terminal(run: Run, terminal: PipeInput, prompts: list[int], asked: list[str]) -> None:
    """Alt-Enter makes a line, the arrow key brings the last question back, also in the next session."""

    def type_on() -> None:
        for number, keys in enumerate((f"one{NEW_LINE}two{ENTER}", f"{UP}!{ENTER}", CTRL_D, f"{UP}{ENTER}{CTRL_D}")):
            while len(asked) < min(number, 2):
                time.sleep(0.01)
            time.sleep(0.5)  # the history is read while the user begins to type
            terminal.send_text(keys)

    typing = threading.Thread(target=type_on)
    typing.start()
    assert run_chat(run, max_tokens=3) == 0
    assert asked == ["one\ntwo", "one\ntwo!"]
    history = run.folder / "logs" / "chat_history"
    assert "one" in history.read_text()
    assert history.stat().st_mode & 0o077 == 0
    assert run_chat(run, max_tokens=3) == 0
    typing.join()
    assert asked[2:] == ["one\ntwo!"]


def test_system_prompt_another_answer_and_saving(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, prompts: list[int]
) -> None:
    file = tmp_path / "talk.json"
    piped(monkeypatch, "/system", "/system Be short.", QUESTION, "/regenerate", f"/save {file}", "/system", "/system -",
          "/system", f"/save {tmp_path / 'empty.md'}")  # fmt: skip
    assert run_chat(run, max_tokens=5, temperature=2.0, top_p=1.0) == 0
    assert prompts == [2, 2]  # the system's message and the question, twice
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "there is no system prompt" and said[-1] == "there is no system prompt"
    assert "Be short." in said
    system, user, assistant = json.loads(file.read_text())["messages"]
    assert system == {"role": "system", "content": "Be short."}
    assert user == {"role": "user", "content": QUESTION}
    assert assistant["role"] == "assistant" and assistant["content"]
    assert (tmp_path / "empty.md").read_text() == ""


def test_commands_that_cannot_be_done_are_told(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "there.md").write_text("keep")
    logging.getLogger("crawl2chat").propagate = True
    names = [str(tmp_path / "there.md"), "~nouser-of-this-name/x.md", str(tmp_path / ("long" * 100)), "zero\0byte"]
    piped(monkeypatch, "/regenerate", "/save", *(f"/save {name}" for name in names), "/system")
    assert run_chat(run) == 2
    assert (tmp_path / "there.md").read_text() == "keep"
    for says in ("nothing has been answered", "/save without a file", "exists already", "~nouser-of-this-name/x.md",
                 "File name too long", "null byte"):  # fmt: skip
        assert says in caplog.text


def test_as_a_process_with_bytes_that_are_no_text(run: Run) -> None:
    """The command itself, fed by a pipe; a line of broken UTF-8 does not end it."""
    command = [sys.executable, "-m", "crawl2chat", "chat", "--run", str(run.folder)]
    done = subprocess.run(
        command, input=f"{QUESTION}\n/reset\ncaf\udce9?\n".encode("utf-8", "surrogateescape"), capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
    said = done.stdout.decode().splitlines()
    assert said[0] == ANSWER and len(said) >= 2
