"""A command whose Ray dies under it ends, and says so, instead of waiting for ever."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.ray

WAITS = """
import sys, time
from pathlib import Path
import ray
from crawl2chat.core.log import log_to_terminal
from crawl2chat.core.session import ray_session
from crawl2chat.core.settings_training import Resources
log_to_terminal()
with ray_session(Resources(cpus=1), Path(sys.argv[1])):
    started = ray.remote(lambda: time.sleep(600)).remote()
    print("waiting", flush=True)
    ray.get(started)
"""


def test_a_command_ends_when_its_raylet_is_killed(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    command = [sys.executable, "-c", WAITS, str(tmp_path / "logs")]
    with subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path
    ) as driver:
        assert driver.stdout is not None
        assert driver.stdout.readline() == "waiting\n", driver.stderr and driver.stderr.read()
        [raylet] = [one for one in psutil.Process(driver.pid).children() if one.name() == "raylet"]
        raylet.kill()
        _, told = driver.communicate(timeout=60)
    assert driver.returncode == 1
    assert "Ray has died on this machine" in told
