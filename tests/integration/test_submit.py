"""`submit` to a Ray that was started elsewhere, in an environment that has our dependencies but not crawl2chat."""

from __future__ import annotations

import json
import os
import random
import shlex
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
from urllib.request import Request, urlopen

import pytest
import yaml

pytestmark = [pytest.mark.ray, pytest.mark.slow]
START_S = 240


def _hear_interrupts() -> None:
    """As on a terminal: what a shell starts in the background inherits that SIGINT is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@dataclass(frozen=True)
class Cluster:
    address: str
    token_file: Path

    def environment(self, **more: str) -> dict[str, str]:
        return _environment(RAY_AUTH_MODE="token", **({"RAY_AUTH_TOKEN_PATH": str(self.token_file)} | more))

    def start(self, *arguments: str, cwd: Path, **more: str) -> subprocess.Popen[str]:
        """Start the command, as a user of this cluster does."""
        command = [sys.executable, "-u", "-m", "crawl2chat", *arguments]
        return subprocess.Popen(
            command,
            cwd=cwd,
            env=self.environment(**more),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=_hear_interrupts,
        )

    def crawl2chat(self, *arguments: str, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
        """Run the command to its end."""
        process = self.start(*arguments, cwd=cwd, **more)
        stdout, stderr = process.communicate(timeout=600)
        return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)

    def status(self, job: str) -> str:
        request = Request(f"{self.address}/api/jobs/{job}")
        request.add_header("Authorization", f"Bearer {self.token_file.read_text()}")
        with urlopen(request) as answer:
            return json.load(answer)["status"]


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


def _recipe(folder: Path) -> None:
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
    (folder / "small.yaml").write_text(yaml.safe_dump(recipe))


def test_a_submitted_run_is_complete(cluster: Cluster, tmp_path: Path) -> None:
    """Paths relative to the submitter, workers that import crawl2chat, output here, 0 as the exit code."""
    _recipe(tmp_path)
    wrong = "http://127.0.0.1:9"  # what a shell may hold from other work must not lead elsewhere
    done = cluster.crawl2chat("submit", "small.yaml", "--address", cluster.address, cwd=tmp_path, RAY_ADDRESS=wrong)
    assert done.returncode == 0, done.stdout + done.stderr
    run = tmp_path / "runs" / "small"
    stages = ("crawl", "extract", "dedup", "tokenizer", "shards", "pretrain", "samples")
    assert [stage for stage in stages if not (run / stage / "manifest.json").is_file()] == []
    assert "submitted small" in done.stdout
    assert "bits/byte" in done.stdout, "the job's table arrives here"
    assert "\x1b[" not in done.stdout, "no terminal control in a log"
    assert "Traceback" not in done.stdout + done.stderr

    again = cluster.crawl2chat("submit", "small.yaml", "--address", cluster.address, cwd=tmp_path)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "up to date, nothing to do" in " ".join(again.stdout.split())


def test_the_jobs_exit_code_comes_back(cluster: Cluster, tmp_path: Path) -> None:
    _recipe(tmp_path)
    (tmp_path / "texts.jsonl").unlink()  # found missing by the job: only the cluster knows its files
    done = cluster.crawl2chat("submit", "small.yaml", "--address", cluster.address, cwd=tmp_path)
    assert done.returncode == 2
    assert str(tmp_path / "texts.jsonl") in done.stdout


def test_ctrl_c_detaches_and_the_job_goes_on(cluster: Cluster, tmp_path: Path) -> None:
    _recipe(tmp_path)
    long = ("--set", "train.steps=1000000")
    process = cluster.start("submit", "small.yaml", "--address", cluster.address, *long, cwd=tmp_path)
    assert process.stdout is not None
    for line in process.stdout:
        if "Running entrypoint" in line:
            break
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    watch, stop = (next(line for line in rest.splitlines() if f"ray job {verb}" in line) for verb in ("logs", "stop"))
    job = watch.split()[-1]
    arguments = [sys.executable, "-m", "ray.scripts.scripts", *shlex.split(stop.split(" ray ", 1)[1])]
    assert cluster.status(job) == "RUNNING"
    subprocess.run(arguments, env=cluster.environment(), check=True, capture_output=True)
    assert cluster.status(job) == "STOPPED"


def test_without_following_it_returns_at_once(cluster: Cluster, tmp_path: Path) -> None:
    _recipe(tmp_path)
    (tmp_path / "texts.jsonl").unlink()
    (tmp_path / ".ray").mkdir()
    shutil.copyfile(cluster.token_file, tmp_path / ".ray" / "auth_token")
    home = _environment(HOME=str(tmp_path))  # a user who has the token in its usual place, and sets no variable
    command = [sys.executable, "-m", "crawl2chat", "submit", "small.yaml", "--address", cluster.address, "--no-follow"]
    done = subprocess.run(command, cwd=tmp_path, env=home, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Running entrypoint" not in done.stdout
    watch = next(line for line in done.stdout.splitlines() if "ray job logs" in line)
    home["PATH"] = f"{Path(sys.executable).parent}:{os.defpath}"
    told = subprocess.run(watch.split(":", 1)[1], shell=True, env=home, capture_output=True, text=True)
    assert str(tmp_path / "texts.jsonl") in told.stdout, "the command that was printed shows the job's output"


def test_a_wrong_token_is_an_error_with_the_fix(cluster: Cluster, tmp_path: Path) -> None:
    _recipe(tmp_path)
    (tmp_path / "token").write_text("fedcba9876543210" * 4)
    done = cluster.crawl2chat(
        "submit", "small.yaml", "--address", cluster.address, cwd=tmp_path, RAY_AUTH_TOKEN_PATH=str(tmp_path / "token")
    )
    assert done.returncode == 2
    assert "refuses us" in done.stderr
    assert "RAY_AUTH_TOKEN" in done.stderr
    assert "Traceback" not in done.stderr
