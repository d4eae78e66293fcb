"""Who works on a folder, by its lock: another process, this one, one that was killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from crawl2chat.core.errors import BusyError
from crawl2chat.core.lock import hold, holder

HOLDS = """
import sys, time
from pathlib import Path
from crawl2chat.core.lock import hold
with hold(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_folder_has_one_holder_until_it_is_let_go(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    assert holder(folder) is None
    with hold(folder):
        assert holder(folder) == str(os.getpid())
        with pytest.raises(BusyError, match=f"new is being worked on by process {os.getpid()}"), hold(folder):
            pass
    assert holder(folder) is None
    with hold(folder):
        pass


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDS, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"held\n"
        assert holder(tmp_path) == str(process.pid)
        process.kill()
    assert (tmp_path / "lock").read_text() == str(process.pid), "its number stands there still"
    assert holder(tmp_path) is None


def test_who_only_asks_turns_nobody_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever looks holds the lock for a moment, in which another may want it."""
    import fcntl

    with hold(tmp_path):
        pass
    looker = (tmp_path / "lock").open()
    fcntl.flock(looker, fcntl.LOCK_SH)
    monkeypatch.setattr("crawl2chat.core.lock.time.sleep", lambda seconds: looker.close())
    with hold(tmp_path):
        assert holder(tmp_path) == str(os.getpid())
