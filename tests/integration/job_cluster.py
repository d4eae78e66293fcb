"""A Ray that was started elsewhere, with a token, in an environment that has our dependencies but not crawl2chat."""

from __future__ import annotations

import json
import os
import random
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
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import yaml

START_S = 240


@dataclass(frozen=True)
class Cluster:
    address: str
    token_file: Path

    def environment(self, **more: str) -> dict[str, str]:
        return own_environment(RAY_AUTH_MODE="token", **({"RAY_AUTH_TOKEN_PATH": str(self.token_file)} | more))

    def start(
        self, *arguments: str, cwd: Path, program: tuple[str, ...] = ("-m", "crawl2chat"), **more: str
    ) -> Process:
        """Start the command, as a user of this cluster does."""
        return subprocess.Popen(
            [sys.executable, "-u", *program, *arguments],
            cwd=cwd,
            env=self.environment(**more),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=_hear_interrupts,
        )

    def crawl2chat(self, *arguments: str, cwd: Path, **more: Any) -> subprocess.CompletedProcess[str]:
        """Run the command to its end."""
        return finish(self.start(*arguments, cwd=cwd, **more))

    def get(self, path: str) -> Any:
        """What Ray's dashboard answers."""
        request = Request(f"{self.address}{path}")
        request.add_header("Authorization", f"Bearer {self.token_file.read_text()}")
        with urlopen(request) as answer:
            return json.load(answer)

    def status(self, job: str) -> str:
        return self.get(f"/api/jobs/{job}")["status"]


Process = subprocess.Popen[str]


def finish(process: Process) -> subprocess.CompletedProcess[str]:
    stdout, stderr = process.communicate(timeout=600)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def dependencies_only(folder: Path) -> Path:
    """An environment with links to every installed package except crawl2chat; gives its bin folder."""
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


@contextmanager
def head_node(environment: Path, scaling: dict[str, Any] | None = None, **variables: str) -> Iterator[Cluster]:
    """A head node in that environment, started in another folder, with a token; 2 CPUs, or a cluster that `scaling`
    describes, whose {gcs} becomes the head's address."""
    folder = Path(tempfile.mkdtemp(prefix="c2c", dir="/tmp"))  # short: Ray's sockets live below it
    token_file = folder / "token"
    token_file.write_text("0123456789abcdef" * 4)
    port, dashboard, agent, client = (free_port() for _ in range(4))
    options: dict[str, Any] = {
        "port": port,
        "dashboard-port": dashboard,
        "dashboard-agent-listen-port": agent,
        "ray-client-server-port": client,
        "num-cpus": 2 if scaling is None else 0,
        "object-store-memory": 200_000_000,
        "temp-dir": folder / "ray",
    }
    if scaling is None:
        options["node-ip-address"] = "127.0.0.1"
    else:
        options["autoscaling-config"] = folder / "cluster.json"
        (folder / "cluster.json").write_text(json.dumps(scaling).replace("{gcs}", f"127.0.0.1:{port}"))
    flags = ["--head", "--block", "--disable-usage-stats", *(f"--{key}={value}" for key, value in options.items())]
    head = subprocess.Popen(
        [environment / "python", "-m", "ray.scripts.scripts", "start", *flags],
        cwd=folder,
        env=own_environment(
            PATH=f"{environment}:{os.defpath}",
            RAY_AUTH_MODE="token",
            RAY_AUTH_TOKEN_PATH=str(token_file),
            RAY_worker_niceness="0",  # Ray's 15 would let all else go first on a busy machine
            **variables,
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


def own_environment(**more: str) -> dict[str, str]:
    """This process's environment without what would lead to another Ray or to our sources."""
    dropped = ("RAY_", "PYTHONPATH", "VIRTUAL_ENV")
    return {k: v for k, v in os.environ.items() if not k.startswith(dropped)} | more


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _hear_interrupts() -> None:
    """As on a terminal: what a shell starts in the background inherits that SIGINT is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _end(head: subprocess.Popen[bytes], folder: Path) -> None:
    """End this Ray's processes, and no other Ray's: they name its folder, and workers end with their raylet."""
    for process in {head.pid, *_naming(folder)}:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    head.wait()
    shutil.rmtree(folder, ignore_errors=True)


def _naming(folder: Path) -> list[int]:
    """Processes that have this folder in their command line."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if str(folder).encode() in (process / "cmdline").read_bytes():
                found.append(int(process.name))
    return found


def write_recipe(folder: Path, **sections: Any) -> None:
    """small.yaml: everything from documents to a model, on a few dozen documents and in a few steps."""
    rng = random.Random(5)
    words = ["river", "mountain", "stone", "paper", "garden", "window", "music", "letter", "winter", "harbor"]
    with (folder / "texts.jsonl").open("w") as handle:
        for _ in range(60):
            sentences = [
                f"The {rng.choice(words)} has {rng.randint(2, 999)} of the {rng.choice(words)}." for _ in range(40)
            ]
            handle.write(json.dumps({"text": " ".join(sentences)}) + "\n")
    recipe = {
        "name": "small",
        "sources": [{"name": "texts", "kind": "jsonl", "paths": ["texts.jsonl"]}],
        "language": {"keep": []},
        "filters": {"gopher_repetition": None, "gopher_quality": None, "c4": None, "fineweb": None},
        "dedup": {"partitions": 2},
        "tokenizer": {"vocab_size": 300},
        "shards": {"validation_share": 0.2},
        "model": {"layers": 1, "width": 16, "heads": 2, "kv_heads": 1, "feed_forward": 32, "context": 32},
        "train": {"steps": 4, "batch": 4, "validate_every": 4, "checkpoint_every": 4},
        "sampling": {"prompts": ["The river"], "max_tokens": 4},
    }
    (folder / "small.yaml").write_text(yaml.safe_dump(recipe | sections))
