"""`submit` to a Ray that was started elsewhere, in an environment that has our dependencies but not crawl2chat."""

from __future__ import annotations

import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .job_cluster import Cluster, dependencies_only, head_node, own_environment, write_recipe

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with head_node(dependencies_only(tmp_path_factory.mktemp("environment"))) as cluster:
        yield cluster


def test_a_submitted_run_is_complete(cluster: Cluster, tmp_path: Path) -> None:
    """Paths relative to the submitter, workers that import crawl2chat, output here, 0 as the exit code."""
    write_recipe(tmp_path)
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
    write_recipe(tmp_path)
    (tmp_path / "texts.jsonl").unlink()  # found missing by the job: only the cluster knows its files
    done = cluster.crawl2chat("submit", "small.yaml", "--address", cluster.address, cwd=tmp_path)
    assert done.returncode == 2
    assert str(tmp_path / "texts.jsonl") in done.stdout


def test_ctrl_c_detaches_and_the_job_goes_on(cluster: Cluster, tmp_path: Path) -> None:
    write_recipe(tmp_path)
    long = ("--set", "train.steps=1000000")
    process = cluster.start("submit", "small.yaml", "--address", cluster.address, *long, cwd=tmp_path)
    assert process.stdout is not None
    for line in process.stdout:
        if "Running entrypoint" in line:
            break
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    watch, stop = (
        next(line for line in rest.splitlines() if f"crawl2chat {verb}" in line) for verb in ("logs", "stop")
    )
    job = watch.split()[4]
    assert cluster.status(job) == "RUNNING"
    done = cluster.crawl2chat(*shlex.split(stop)[3:], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert cluster.status(job) == "STOPPED"


def test_without_following_it_returns_at_once(cluster: Cluster, tmp_path: Path) -> None:
    write_recipe(tmp_path)
    (tmp_path / "texts.jsonl").unlink()
    (tmp_path / ".ray").mkdir()
    shutil.copyfile(cluster.token_file, tmp_path / ".ray" / "auth_token")
    home = own_environment(HOME=str(tmp_path))  # a user who has the token in its usual place, and sets no variable
    command = [sys.executable, "-m", "crawl2chat", "submit", "small.yaml", "--address", cluster.address, "--no-follow"]
    done = subprocess.run(command, cwd=tmp_path, env=home, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Running entrypoint" not in done.stdout
    watch = next(line for line in done.stdout.splitlines() if "crawl2chat logs" in line)
    command = [sys.executable, "-m", *shlex.split(watch)[2:]]
    told = subprocess.run(command, cwd=tmp_path, env=home, capture_output=True, text=True)
    assert told.returncode == 2, "followed to its end, the job's exit code is the command's"
    assert str(tmp_path / "texts.jsonl") in told.stdout, "the command that was printed shows the job's output"


def test_a_wrong_token_is_an_error_with_the_fix(cluster: Cluster, tmp_path: Path) -> None:
    write_recipe(tmp_path)
    (tmp_path / "token").write_text("fedcba9876543210" * 4)
    done = cluster.crawl2chat(
        "submit", "small.yaml", "--address", cluster.address, cwd=tmp_path, RAY_AUTH_TOKEN_PATH=str(tmp_path / "token")
    )
    assert done.returncode == 2
    assert "refuses us" in done.stderr
    assert "RAY_AUTH_TOKEN" in done.stderr
    assert "Traceback" not in done.stderr
