"""A file's second name: a link, and a copy where there are no links. Many questions to a file system at a time."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest
from crawl2chat.core.files import AT_ONCE, at_once, link_or_copy
from crawl2chat.core.manifest import file_entry, missing


def test_a_second_name_is_a_link_or_else_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, link, copy = tmp_path / "file", tmp_path / "deep" / "link", tmp_path / "copy"
    file.write_bytes(b"content")
    link_or_copy(file, link)
    assert link.samefile(file)

    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "this file system has no links")

    monkeypatch.setattr(os, "link", refuse)
    copy.write_bytes(b"of an attempt before")
    link_or_copy(file, copy)
    assert copy.read_bytes() == b"content" and not copy.samefile(file)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "deep", "file"]


def test_many_questions_are_asked_at_a_time_and_answered_in_order() -> None:
    """Each waits until AT_ONCE are being asked: one after the other they would wait for ever."""
    together = threading.Barrier(AT_ONCE, timeout=20)

    def ask(number: int) -> int:
        together.wait()
        return -number

    assert at_once(ask, range(8 * AT_ONCE)) == [-number for number in range(8 * AT_ONCE)]
    assert at_once(lambda one: one, []) == []
    with pytest.raises(ZeroDivisionError):
        at_once(lambda number: 1 // (number - 300), range(400))


@pytest.mark.parametrize("number", [3, 300])
def test_files_that_are_gone_or_cut_are_missing_in_their_order(tmp_path: Path, number: int) -> None:
    paths = [tmp_path / f"{at:03d}" for at in range(number)]
    for path in paths:
        path.write_text("abc")
    entries = [file_entry(tmp_path, path, 1) for path in paths]
    assert missing(tmp_path, entries) == []
    paths[2].write_text("ab")
    paths[0].unlink()
    paths[1].unlink()
    paths[1].mkdir()
    assert missing(tmp_path, iter(entries)) == ["000", "001", "002"]
