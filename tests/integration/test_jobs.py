"""Jobs on a cluster are listed, watched, stopped and continued, and a run has one job at a time."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .job_cluster import Cluster, dependencies_only, finish, head_node, write_recipe

pytestmark = [pytest.mark.ray, pytest.mark.slow]
LONG = ("--set", "train.steps=1000000")
LISTED_BEFORE = """
import sys
from crawl2chat.cli import main
from crawl2chat.pipelines import submit
listed, looks = submit.our_jobs, []
def list_jobs(client):
    looks.append(listed(client))
    return looks[-1] if len(looks) > 1 else []
submit.our_jobs = list_jobs
code = main(sys.argv[1:])
print(f"looked {len(looks)} times")
sys.exit(code)
"""  # a submission that looked at the jobs a moment before another one was taken


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with head_node(dependencies_only(tmp_path_factory.mktemp("environment"))) as cluster:
        yield cluster


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_recipe(tmp_path)
    return tmp_path


def run(cluster: Cluster, folder: Path, command: str, **more: Any) -> subprocess.CompletedProcess[str]:
    return cluster.crawl2chat(*shlex.split(command), "--address", cluster.address, cwd=folder, **more)


def submitted(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    [job] = re.findall(r"^submitted \S+ to \S+ as (\S+);", done.stdout, re.MULTILINE)
    return job


def until(cluster: Cluster, job: str, state: str) -> None:
    deadline = time.monotonic() + 120
    while cluster.status(job) != state:
        assert time.monotonic() < deadline, f"{job} is {cluster.status(job)}, not {state}"
        time.sleep(0.5)


def of_the_readme(cluster: Cluster, documented: list[str]) -> list[list[str]]:
    """The words behind `crawl2chat` of README's five commands for a cluster, for this one and for a small recipe."""
    first = next(place for place, command in enumerate(documented) if " submit " in command)
    changes = {
        "http://127.0.0.1:8265": cluster.address,
        "recipes/tiny.yaml": "small.yaml",
        "name=job": "name=small",
        "job": "small",
    }
    return [[changes.get(word, word) for word in shlex.split(command)[1:]] for command in documented[first:]]


def test_a_job_is_watched_stopped_and_continued(
    cluster: Cluster, folder: Path, documented_commands: dict[str, list[str]]
) -> None:
    submit, status, logs, stop, submit_again = of_the_readme(cluster, documented_commands["README.md"])
    job = submitted(cluster.crawl2chat(*submit, *LONG, cwd=folder))
    until(cluster, job, "RUNNING")
    listed = cluster.crawl2chat(*status, cwd=folder)
    assert [line.split()[:4] for line in listed.stdout.splitlines()] == [
        ["job", "run", "verb", "state"],
        [job, "small", "run", "RUNNING"],
    ]

    second = run(cluster, folder, "submit small.yaml --verb data")
    assert second.returncode == 75
    assert f"is being worked on by job {job}" in second.stderr
    assert f"crawl2chat stop {job} --address {cluster.address}" in second.stderr

    late = run(cluster, folder, "submit small.yaml", program=("-c", LISTED_BEFORE))
    assert "looked 2 times" in late.stdout, "Ray itself refused the id the first time"
    assert late.returncode == 75
    assert f"is being worked on by job {job}" in late.stderr

    watching = cluster.start(*logs, cwd=folder)
    assert watching.stdout is not None
    for line in watching.stdout:
        if "pretrain" in line:
            break
    watching.send_signal(signal.SIGINT)
    rest = finish(watching)
    assert rest.returncode == 130, rest.stderr
    assert f"detached; {job} goes on" in rest.stdout
    assert cluster.status(job) == "RUNNING"
    assert "pretrain" in run(cluster, folder, f"logs {job}").stdout

    stopped = cluster.crawl2chat(*stop, cwd=folder)
    assert stopped.returncode == 0, stopped.stderr
    assert f"{job} ended as STOPPED" in stopped.stdout
    assert "has ended before, as STOPPED" in run(cluster, folder, "stop small").stdout
    [again] = re.findall(r"continue it: crawl2chat (submit .*) --address", stopped.stdout)

    following = cluster.start(*submit_again, *LONG, cwd=folder)
    assert following.stdout is not None
    told = ""
    for line in following.stdout:
        told += line
        if "tokenizer    up to date" in line:
            break
    assert f" as {job.removesuffix('1')}2;" in told, told
    assert run(cluster, folder, "stop small").returncode == 0
    assert finish(following).returncode == 1, "it followed a job that was stopped"
    assert f"crawl2chat {again} --address" in run(cluster, folder, "status small").stdout


def test_of_two_submissions_at_once_one_is_taken(cluster: Cluster, folder: Path) -> None:
    command = ("submit", "small.yaml", "--address", cluster.address, "--no-follow", "--set", "name=race", *LONG)
    both = [cluster.start(*command, cwd=folder) for _ in range(2)]
    taken, refused = sorted((finish(one) for one in both), key=lambda done: done.returncode)
    job = submitted(taken)
    assert refused.returncode == 75
    assert f"is being worked on by job {job}" in refused.stderr
    assert run(cluster, folder, f"stop {job}").returncode == 0


def test_waiting_gives_the_exit_code_and_status_the_reason(cluster: Cluster, folder: Path) -> None:
    (folder / "texts.jsonl").unlink()
    done = run(cluster, folder, "submit small.yaml --wait --set name=without")
    assert done.returncode == 2
    missing = str(folder / "texts.jsonl")
    assert missing not in done.stdout + done.stderr, "the job's output is not shown"
    listed = run(cluster, folder, "status without").stdout
    assert re.search(r"^without-\S+-1 +without +run +FAILED ", listed, re.MULTILINE)
    assert missing in listed
    assert run(cluster, folder, "logs without -f").returncode == 2


@pytest.mark.parametrize("command", ["status", "logs small", "stop small"])
def test_a_wrong_token_is_refused(cluster: Cluster, folder: Path, command: str) -> None:
    (folder / "token").write_text("fedcba9876543210" * 4)
    done = run(cluster, folder, command, RAY_AUTH_TOKEN_PATH=str(folder / "token"))
    assert done.returncode == 2
    assert "refuses us" in done.stderr
