"""A file's second name: a link, and a copy where there are no links."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from crawl2chat.core.files import link_or_copy


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
