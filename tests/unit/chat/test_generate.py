"""`crawl2chat generate`: what stands on standard output."""

from __future__ import annotations

import io
import sys

import pytest
from crawl2chat.chat.generate import run_generate, show
from crawl2chat.core.errors import InputError
from crawl2chat.core.run import Run


def test_prompt_and_continuation(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_generate(run, "The history of") == 0
    assert capsys.readouterr().out == "The history of cafés in 漢字 is short. 🙂 Nobody wrote it.\n"


def test_options_override_the_recipe(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run_generate(run, "The history of", max_tokens=4)
    assert "The history of cafés in".startswith(capsys.readouterr().out.rstrip("\n"))
    drawn = []
    for seed in (1, 1, 2):
        run_generate(run, "The", temperature=3.0, top_p=1.0, seed=seed)
        drawn.append(capsys.readouterr().out)
    assert drawn[0] == drawn[1] != drawn[2]


def test_the_tuned_model_can_continue_too(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_generate(run, "The", stage="finetune", max_tokens=3) == 0
    assert capsys.readouterr().out.startswith("The")


def test_wrong_options_print_nothing(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="top_p is 2"):
        run_generate(run, "The", top_p=2.0)
    assert capsys.readouterr().out == ""


def test_pieces_are_written_as_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="utf-8"))
    seen = []

    def pieces():
        for piece in ("a", "é"):
            seen.append(raw.getvalue().decode())
            yield piece

    show(pieces())
    assert seen == ["", "a"]
    assert raw.getvalue().decode() == "aé"


def test_controls_and_other_encodings_do_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="utf-8"))
    show(["a\x1b[2Jb\x9b\tc\n"])
    assert raw.getvalue().decode() == "a\ufffd[2Jb\ufffd\tc\n"
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    show(["café"])
    assert raw.getvalue() == b"caf?"
