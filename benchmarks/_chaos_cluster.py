"""A Ray of several nodes on this machine, whose processes can be killed and started again.

A head without CPUs, with the job server, and nodes of one CPU each; every node is a raylet with its own object store.
All listen on loopback.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil

HEAD = "head"
START_S = 180
FORGET_S = 10  # after which a node gives up a head that does not answer, and ends
# Ray's patience is minutes; workers would start at a low priority, and all else on a busy machine go first
VARIABLES = {
    "RAY_gcs_rpc_server_reconnect_timeout_s": str(FORGET_S),
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_failure_threshold": "10",
    "RAY_worker_niceness": "0",
    "RAY_AUTH_MODE": "disabled",
    "GLOO_SOCKET_IFNAME": "lo",
}


class ChaosCluster:
    """`nodes` nodes beside the head. Its processes' folder, and their logs, stand in `folder`, which must be short:
    names of sockets below it have at most 107 characters.
    """

    def __init__(self, folder: Path, nodes: int, store_bytes: int = 200_000_000) -> None:
        self.folder, self.store_bytes = folder, store_bytes
        self.gcs, self.dashboard, *agents = (_free_port() for _ in range(nodes + 3))
        self.agents = {HEAD: agents[0]} | {f"node-{at}": port for at, port in enumerate(agents[1:])}
        self.started: dict[str, psutil.Popen] = {}

    @property
    def address(self) -> str:
        """Of the job server."""
        return f"http://127.0.0.1:{self.dashboard}"

    @property
    def nodes(self) -> list[str]:
        return [name for name in self.agents if name != HEAD]

    def start(self, name: str) -> None:
        """Start a node, or start it again. Raises TimeoutError when the head does not come."""
        flags: Mapping[str, Any] = {
            "node-ip-address": "127.0.0.1",
            "dashboard-agent-listen-port": self.agents[name],
            "object-store-memory": self.store_bytes,
            "num-cpus": 0 if name == HEAD else 1,
            "temp-dir": self.folder / name,  # of each its own, as on machines: a node installs the job's wheel there
        }
        if name == HEAD:
            flags = {**flags, "port": self.gcs, "dashboard-port": self.dashboard}
        else:
            flags = {**flags, "address": f"127.0.0.1:{self.gcs}"}
        words = [f"--{key}={value}" for key, value in flags.items()]
        words += ["--block", "--disable-usage-stats", *(["--head"] if name == HEAD else [])]
        with (self.folder / f"{name}.log").open("a") as log:
            self.started[name] = psutil.Popen(
                [sys.executable, "-m", "ray.scripts.scripts", "start", *words],
                cwd=self.folder,
                env=environment(),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if name == HEAD:
            self._await_head()

    def _await_head(self) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self.started[HEAD].poll() is None:
            with suppress(OSError), urlopen(f"{self.address}/api/version", timeout=2):
                return
            time.sleep(0.2)
        raise TimeoutError(f"Ray's head did not start:\n{(self.folder / 'head.log').read_text()[-2000:]}")

    def alive(self, name: str) -> bool:
        return name in self.started and self.started[name].poll() is None

    def processes(self, name: str) -> list[psutil.Process]:
        """What runs for a node: the command that started it, its raylet, workers, drivers."""
        node = self.started[name]
        with suppress(psutil.NoSuchProcess):
            return [node, *node.children(recursive=True)]
        return []

    def kill(self, name: str) -> None:
        """All of a node at once, as when its machine loses power."""
        for process in self.processes(name):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.started[name].wait()

    def actors(self) -> dict[int, str]:
        """Process -> class of the actors that live."""
        with urlopen(f"{self.address}/api/v0/actors?limit=1000&detail=1", timeout=5) as answer:
            found = json.load(answer)["data"]["result"]["result"]
        return {int(one["pid"]): one["class_name"] for one in found if one["state"] == "ALIVE" and one["pid"]}

    def end(self) -> None:
        for name in self.started:
            self.kill(name)


@contextmanager
def cluster(folder: Path, nodes: int) -> Iterator[ChaosCluster]:
    """A cluster that has started, and is gone afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    made = ChaosCluster(folder, nodes)
    try:
        for name in made.agents:
            made.start(name)
        yield made
    finally:
        made.end()
        for name in made.agents:
            shutil.rmtree(folder / name, ignore_errors=True)


def environment() -> dict[str, str]:
    """This process's, without what would lead to another Ray; jobs run in this Python's environment."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return ours | VARIABLES | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
