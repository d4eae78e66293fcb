"""Memory of workers, seen from outside."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from crawl2chat.plan.watch import PROC, largest_worker_mb, looking

WORK = "import subprocess, sys, time; held = bytearray(80 * 10**6); print('ready', flush=True); time.sleep(60)"


@pytest.mark.skipif(not PROC.is_dir(), reason="no /proc")
def test_the_largest_worker_is_seen_and_others_are_not() -> None:
    assert largest_worker_mb(os.getpid()) == 0
    for name, least in (("other", 0.0), ("ray::extract", 80.0)):
        with subprocess.Popen([name, "-c", WORK], executable=sys.executable, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None and process.stdout.readline() == b"ready\n"
            try:
                with looking() as looks:
                    time.sleep(1.0)
                found = max((most for _, most in looks.seen), default=0.0)
            finally:
                process.kill()
        assert (least < found < 200) if least else found == 0
