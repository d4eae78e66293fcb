"""A search is continued by who began it, where it began; of any other no pickle is read."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from crawl2chat.core.errors import InputError
from crawl2chat.tune.provenance import NAME, begin_here, begun_here
from crawl2chat.tune.search import Search, _restored

from .test_lessons import trial


@pytest.fixture(autouse=True)
def own_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


class Hostile:
    def __init__(self, witness: Path) -> None:
        self.witness = str(witness)

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (self.witness,)


def handed_over(folder: Path, witness: Path) -> Path:
    """A search's folder as a killed driver leaves it, with a hostile pickle where Ray looks first."""
    folder.mkdir(parents=True)
    (folder / "tuner.pkl").write_bytes(pickle.dumps(Hostile(witness)))
    (folder / "experiment_state-2026-01-01_00-00-00.json").write_text(json.dumps({"trial_data": []}))
    return folder


def search() -> Search:
    return Search("rows", "-1", [trial(1e-3)])


def test_a_search_from_elsewhere_is_refused_unread(tmp_path: Path) -> None:
    witness, folder = tmp_path / "called", handed_over(tmp_path / "ray" / "rows-1", tmp_path / "called")
    with pytest.raises(InputError, match="rows-1 was begun by another user"):
        _restored(search(), folder)
    assert not witness.exists() and (folder / "tuner.pkl").exists(), "nothing is called, and nothing is removed"


def test_the_same_folder_would_run_it_without_the_guard(tmp_path: Path) -> None:
    """What the guard is for: Ray does call what the pickle names."""
    witness, folder = tmp_path / "called", handed_over(tmp_path / "ray" / "rows-1", tmp_path / "called")
    begin_here(folder)
    with pytest.raises(Exception):  # noqa: B017 (whatever Ray makes of a tuner that is none)
        _restored(search(), folder)
    assert witness.exists()


def test_who_began_it_is_known_there_and_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "ray" / "rows-1"
    assert not begun_here(folder)
    begin_here(folder)
    assert begun_here(folder)
    copy = shutil.copytree(folder, tmp_path / "copy")
    assert not begun_here(copy)
    shutil.move(folder, tmp_path / "moved")
    assert not begun_here(tmp_path / "moved")
    shutil.copytree(copy, folder)  # at its old path, with its old code
    assert not begun_here(folder), "another inode, as the first one is still in use"
    begin_here(folder)
    (folder / NAME).write_bytes(b"\xff")
    assert not begun_here(folder)
    begin_here(folder)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another user"))
    assert not begun_here(folder)


def test_the_key_is_its_owners_alone(tmp_path: Path) -> None:
    begin_here(tmp_path / "a")
    key = tmp_path / "state" / "crawl2chat" / "key"
    assert key.stat().st_mode & 0o777 == 0o600 and len(key.read_bytes()) == 32
    assert [path.name for path in key.parent.iterdir()] == ["key"]
