"""A test whose peer is absent skips, and fails in CI."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import pytest

@pytest.fixture(scope="module")
def peer():
    return pytest.importorskip("no_such_peer", reason="not a dependency")

def test_by_a_fixture(peer): ...

def test_by_itself():
    pytest.importorskip("no_such_peer")

def test_that_skips_for_another_reason():
    pytest.skip("as on another system")
"""


@pytest.mark.parametrize(("ci", "counted"), [("", "3 skipped"), ("true", "1 failed, 1 skipped, 1 error")])
def test_in_ci_an_absent_peer_is_a_failure(ci: str, counted: str, tmp_path: Path) -> None:
    shutil.copyfile(Path(__file__).parents[1] / "conftest.py", tmp_path / "conftest.py")
    (tmp_path / "test_peer.py").write_text(TESTS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path, env=os.environ | {"CI": ci}, capture_output=True, text=True,
    )  # fmt: skip
    assert counted in done.stdout, done.stdout + done.stderr
    assert (done.returncode == 0) == (ci == "")
