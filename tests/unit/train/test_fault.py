"""An error of ours stands in the stage's folder until the driver takes it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from crawl2chat.core.errors import ContractError, Crawl2ChatError, InputError, StageError
from crawl2chat.train.fault import take_fault, tell_fault, told_by_all, told_fault


@pytest.mark.parametrize("kind", [ContractError, InputError, StageError])
def test_it_keeps_class_message_and_fix_and_is_taken_once(tmp_path: Path, kind: type[Crawl2ChatError]) -> None:
    assert told_fault(tmp_path) is None
    assert tell_fault(tmp_path, kind("a shard is wrong", "make it again"), rank=1)
    assert tell_fault(tmp_path, StageError("something that follows"), rank=2)
    for look in (told_fault, take_fault):
        fault = look(tmp_path)
        assert type(fault) is kind and (fault.message, fault.fix) == ("a shard is wrong", "make it again")
    assert take_fault(tmp_path) is None and not list(tmp_path.iterdir())


def test_a_rank_knows_whether_it_is_alone(tmp_path: Path) -> None:
    error = StageError("no")
    tell_fault(tmp_path, error, rank=0)
    assert not told_by_all(tmp_path, 2, seconds=0.1)
    threading.Timer(0.1, lambda: tell_fault(tmp_path, error, rank=1)).start()
    assert told_by_all(tmp_path, 2, seconds=30)


def test_where_it_cannot_be_written_the_error_itself_is_not_hidden(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert not tell_fault(tmp_path / "file", StageError("the disk is full"), rank=0)
