"""The commit of the code, read from real repositories."""

from __future__ import annotations

import subprocess
from pathlib import Path

from crawl2chat import __version__
from crawl2chat.core.code_version import code_version


def git(folder: Path, *words: str) -> str:
    person = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    return subprocess.run(
        ["git", "-C", str(folder), *person, *words], capture_output=True, text=True, check=True
    ).stdout


def test_a_checkout_has_its_commit_and_says_when_files_differ(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "code.py").write_text("a = 1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "one")
    commit = git(tmp_path, "rev-parse", "HEAD").strip()
    assert code_version(tmp_path) == f"{__version__}+{commit[:12]}"
    (tmp_path / "notes").write_text("not of the code")
    assert code_version(tmp_path) == f"{__version__}+{commit[:12]}"
    (tmp_path / "code.py").write_text("a = 2\n")
    assert code_version(tmp_path) == f"{__version__}+{commit[:12]}.changed"


def test_no_commit_of_another_project_nor_of_none(tmp_path: Path) -> None:
    assert code_version(tmp_path) == __version__
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "theirs")
    (tmp_path / "site-packages").mkdir()
    assert code_version(tmp_path / "site-packages") == __version__
