"""A Ray of several raylets on this machine, each started by `ray start`, in a network namespace where one is given."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from .job_cluster import _end, free_port, own_environment

START_S = 120
QUIET = {"RAY_AUTH_MODE": "disabled", "RAY_worker_niceness": "0", "RAY_enable_metrics_collection": "0"}


class Raylets:
    """The nodes, the head first. `address` is what drivers connect to."""

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        self.folder, self.variables, self.address = folder, variables, ""
        self.started: list[subprocess.Popen[bytes]] = []
        self.drivers: list[subprocess.Popen[str]] = []

    def add(self, ip: str = "127.0.0.1", prefix: tuple[str, ...] = (), **options: Any) -> psutil.Process:
        """Start a node with these options of `ray start`, by way of a prefix as `ip netns exec NAME`."""
        if self.address:
            place = {"address": self.address}
        else:
            port = free_port()
            self.address = f"{ip}:{port}"
            place = {"port": port, "temp-dir": self.folder / "ray", "include-dashboard": "false"}
        place |= {"node-ip-address": ip} | options
        flags = ["--block", "--disable-usage-stats", *(f"--{name}={value}" for name, value in place.items())]
        flags += [] if "address" in place else ["--head"]
        log = self.folder / f"node-{len(self.started)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*prefix, sys.executable, "-m", "ray.scripts.scripts", "start", *flags],
                cwd=self.folder,
                env=self.environment(),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.started.append(process)
        deadline = time.monotonic() + START_S
        while b"Ray runtime started" not in log.read_bytes():
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        return psutil.Process(process.pid)

    def environment(self, **more: str) -> dict[str, str]:
        """For processes that belong to this Ray, or connect to it."""
        return own_environment(**QUIET, **self.variables, **more)

    def start(self, command: list[str], cwd: Path, prefix: tuple[str, ...] = (), **more: str) -> subprocess.Popen[str]:
        """A driver, its output captured; it ends with the cluster."""
        process = subprocess.Popen(
            [*prefix, *command],
            cwd=cwd,
            env=self.environment(RAY_ADDRESS=self.address, **more),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.drivers.append(process)
        return process

    def told(self, name: str) -> str:
        """What all logs of this name say, as raylet*.out."""
        return "".join(path.read_text(errors="replace") for path in self.folder.glob(f"ray/session_2*/logs/{name}"))


@contextmanager
def raylets(**variables: str) -> Iterator[Raylets]:
    """No node yet; at the end all are killed, with what they started."""
    nodes = Raylets(Path(tempfile.mkdtemp(prefix="c2c", dir="/tmp")), variables)  # short: sockets live below it
    try:
        yield nodes
    finally:
        for driver in nodes.drivers:
            driver.kill()  # `ip netns exec` becomes the command itself
            driver.wait()
        for process in nodes.started:
            _end(process, nodes.folder)
        shutil.rmtree(nodes.folder, ignore_errors=True)
