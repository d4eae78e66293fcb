"""Compiled loops: what is kept of them is used again, and only while all that it was made from is the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from crawl2chat.core.compiled import borrowed, compiled, inlined

BASE = "from crawl2chat.core.compiled import compiled\n"
OTHER = BASE + "FACTOR = {factor}\n\n@compiled\ndef half(number):\n    return number // {divisor}\n"
OWN = BASE + "from other import FACTOR, half\n\n@compiled\ndef loop(number):\n    return FACTOR * half(number)\n"
RUN = "from own import loop; print(loop(40), sum(loop._cache_hits.values()), type(loop._cache).__name__)"


def run(folder: Path, **environment: str) -> list[str]:
    command = [sys.executable, "-B", "-c", RUN]  # -B: Python's own kept code sees no change within a second
    done = subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def write(folder: Path, factor: int, divisor: int) -> None:
    (folder / "other.py").write_text(OTHER.format(factor=factor, divisor=divisor))
    (folder / "own.py").write_text(OWN)
    os.utime(folder / "own.py", (1_700_000_000, 1_700_000_000))  # the loop's own file stays as it is


def test_kept_code_is_used_until_a_number_or_a_loop_of_another_module_changes(tmp_path: Path) -> None:
    write(tmp_path, 3, 2)
    assert run(tmp_path)[:2] == ["60", "0"]
    assert run(tmp_path)[:2] == ["60", "1"]
    write(tmp_path, 5, 2)
    assert run(tmp_path)[:2] == ["100", "0"]
    write(tmp_path, 5, 4)
    assert run(tmp_path)[:2] == ["50", "0"]


def test_without_a_folder_for_it_each_process_compiles(tmp_path: Path) -> None:
    write(tmp_path, 3, 2)
    nowhere = {"NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator", "NUMBA_CACHE_DIR": "/dev/null/nowhere"}
    assert run(tmp_path, **nowhere) == ["60", "0", "NullCache"]


@inlined
def _step(data: np.ndarray, at: int) -> int:
    while at < len(data) and data[at] != 0:
        at += 1
    return at + 1


@compiled
def _runs(data: np.ndarray, lend: bool) -> int:
    same = borrowed(data) if lend else data
    at = count = 0
    while at < len(same):
        at = _step(same, at)
        count += 1
    return count


def test_a_borrowed_array_is_the_same_and_stays_its_owners() -> None:
    for data in (np.array([1, 0, 2, 2, 0, 0, 3], np.int32), np.frombuffer(b"ab\0c", np.uint8)):
        before = sys.getrefcount(data)
        expected = data.tolist().count(0) + (data[-1] != 0)
        for lend in (True, False):
            assert [_runs(data, lend) for _ in range(50)] == [expected] * 50
        assert sys.getrefcount(data) == before
        assert data.tolist()[0] in (1, ord("a"))
