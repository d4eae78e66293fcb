"""Memory of workers, seen from outside."""

from __future__ import annotations

import subprocess
import sys

import pytest
from crawl2chat.plan.watch import PROC

WORK = "import subprocess, sys, time; held = bytearray(80 * 10**6); print('ready', flush=True); time.sleep(60)"


# A process of its own: the tests' own may have a Ray, with workers.
LOOK = """
import os, subprocess, sys, time
from crawl2chat.plan.watch import largest_worker_mb, looking

name, work = sys.argv[1:]
assert largest_worker_mb(os.getpid()) == 0
with subprocess.Popen([name, "-c", work], executable=sys.executable, stdout=subprocess.PIPE) as process:
    try:
        assert process.stdout.readline() == b"ready\\n"
        with looking() as looks:
            time.sleep(1.0)
    finally:
        process.kill()
print(max((most for _, most in looks.seen), default=0.0))
"""


@pytest.mark.skipif(not PROC.is_dir(), reason="no /proc")
@pytest.mark.parametrize(("name", "least", "most"), [("other", 0.0, 0.0), ("ray::extract", 80.0, 200.0)])
def test_the_largest_worker_is_seen_and_others_are_not(name: str, least: float, most: float) -> None:
    done = subprocess.run([sys.executable, "-c", LOOK, name, WORK], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert least <= float(done.stdout) <= most
