"""A disk that is full, as whoever writes a file meets it."""

from __future__ import annotations

import errno
import pickle
from pathlib import Path

import pytest
from crawl2chat.core.disk import is_full
from crawl2chat.core.errors import DiskFullError, StageError
from crawl2chat.core.files import write_text
from crawl2chat.core.unit_map import pack_error, unpack_error

from ..train.limits import file_size_limit


def test_a_file_that_does_not_fit_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    write_text(tmp_path / "here.txt", "before")
    with file_size_limit(1000), pytest.raises(DiskFullError, match="no here.txt could be written to") as caught:
        write_text(tmp_path / "here.txt", "x" * 2000)
    assert str(tmp_path) in caught.value.message and "MiB free on the file system of /" in caught.value.message
    assert "free some space" in caught.value.fix
    assert [path.name for path in tmp_path.iterdir()] == ["here.txt"]
    assert (tmp_path / "here.txt").read_text() == "before"


def test_it_is_an_error_of_ours_and_of_the_systems_wherever_it_travels() -> None:
    error = DiskFullError("no a could be written", "free some space")
    for one in (error, pickle.loads(pickle.dumps(error)), unpack_error(pack_error(error))):
        assert isinstance(one, StageError) and isinstance(one, OSError) and isinstance(one, DiskFullError)
        assert (one.message, one.fix, one.errno, is_full(one)) == (error.message, error.fix, errno.ENOSPC, True)
        assert str(one) == "no a could be written\n  fix: free some space"
