"""`submit` to a Ray that was started elsewhere, in an environment that has our dependencies but not crawl2chat."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.slow]
START_S = 90


@dataclass(frozen=True)
class Cluster:
    address: str
    token_file: Path

    def crawl2chat(self, *arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
        """The command, as a user of this cluster runs it."""
        ours = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(self.token_file)}
        return subprocess.run(
            [sys.executable, "-m", "crawl2chat", *arguments],
            cwd=cwd,
            env=_environment(**(ours | environment)),
            capture_output=True,
            text=True,
            timeout=300,
        )


@pytest.fixture(scope="module")
def dependencies_only(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with links to every installed package except crawl2chat; gives its bin folder."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    packages = next((folder / "lib").glob("python3*/site-packages"))
    for installed in {Path(sysconfig.get_path("purelib")), Path(sysconfig.get_path("platlib"))}:
        for entry in installed.iterdir():
            if "crawl2chat" not in entry.name and not (packages / entry.name).exists():
                (packages / entry.name).symlink_to(entry)
    python = folder / "bin" / "python"
    missing = subprocess.run([python, "-c", "import ray, crawl2chat"], cwd=folder, capture_output=True, text=True)
    assert "No module named 'crawl2chat'" in missing.stderr, "the environment must have Ray, and must not have us"
    return python.parent


@pytest.fixture(scope="module")
def cluster(dependencies_only: Path) -> Iterator[Cluster]:
    """A head node in that environment, started in another folder, with a token."""
    folder = Path(tempfile.mkdtemp(prefix="c2c", dir="/tmp"))  # short: Ray's sockets live below it
    token_file = folder / "token"
    token_file.write_text("0123456789abcdef" * 4)
    port, dashboard, agent, client = (_free_port() for _ in range(4))
    options = {
        "port": port,
        "dashboard-port": dashboard,
        "dashboard-agent-listen-port": agent,
        "ray-client-server-port": client,
        "node-ip-address": "127.0.0.1",
        "num-cpus": 2,
        "object-store-memory": 200_000_000,
        "temp-dir": folder / "ray",
    }
    flags = ["--head", "--block", "--disable-usage-stats", *(f"--{key}={value}" for key, value in options.items())]
    head = subprocess.Popen(
        [dependencies_only / "python", "-m", "ray.scripts.scripts", "start", *flags],
        cwd=folder,
        env=_environment(
            PATH=f"{dependencies_only}:{os.defpath}", RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=str(token_file)
        ),
        stdout=(folder / "head.log").open("w"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + START_S
        while not _listens(dashboard):
            alive = head.poll() is None and time.monotonic() < deadline
            assert alive, f"Ray did not start:\n{(folder / 'head.log').read_text()}"
            time.sleep(0.2)
        yield Cluster(f"http://127.0.0.1:{dashboard}", token_file)
    finally:
        _end(head, folder)


def _environment(**more: str) -> dict[str, str]:
    """This process's environment without what would lead to another Ray or to our sources."""
    dropped = ("RAY_", "PYTHONPATH", "VIRTUAL_ENV")
    return {k: v for k, v in os.environ.items() if not k.startswith(dropped)} | more


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _end(head: subprocess.Popen[bytes], folder: Path) -> None:
    """End this Ray's processes, and no other Ray's: workers end with their raylet, the others name its folder."""
    head.send_signal(signal.SIGTERM)
    try:
        head.wait(timeout=20)
    except subprocess.TimeoutExpired:
        head.kill()
        head.wait()
    for left in _naming(folder):
        os.kill(left, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


def _naming(folder: Path) -> list[int]:
    """Processes that have this folder in their command line."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if str(folder).encode() in (process / "cmdline").read_bytes():
                found.append(int(process.name))
    return found


def _recipe(folder: Path) -> Path:
    path = folder / "small.yaml"
    texts = [f"Sentence {i} of this document says something about the number {i}. " * 12 for i in range(40)]
    (folder / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    path.write_text(
        "name: job\nsources:\n  - {name: texts, kind: jsonl, paths: [texts.jsonl]}\nlanguage: {keep: []}\n"
        "filters: {gopher_repetition: null, gopher_quality: null, c4: null, fineweb: null}\n"
    )
    return path


def test_a_dry_run_travels(cluster: Cluster, tmp_path: Path) -> None:
    _recipe(tmp_path)
    done = cluster.crawl2chat("submit", "small.yaml", "--address", cluster.address, cwd=tmp_path)
    print(done.stdout, done.stderr)
    assert done.returncode == 0
