"""`submit --retries`: a job whose driver is killed is submitted again; one that was stopped or has wrong input is not.

What it does when the head dies is a part of test_chaos.py.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from crawl2chat.core.lock import hold

from .job_cluster import Cluster, dependencies_only, finish, head_node, write_recipe

pytestmark = [pytest.mark.ray, pytest.mark.slow]
SUBMITTED = re.compile(r"^submitted small to \S+ as (\S+);", re.MULTILINE)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with head_node(dependencies_only(tmp_path_factory.mktemp("environment"))) as cluster:
        yield cluster


def drivers(cluster: Cluster) -> list[psutil.Process]:
    """The processes of the cluster's jobs: they work below its folder."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            below = process.cwd().startswith(str(cluster.token_file.parent))
            if below and process.cmdline()[1:4] == ["-m", "crawl2chat", "run"]:
                found.append(process)
    return found


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 240
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} does not come"
        time.sleep(0.1)


def test_a_killed_driver_is_submitted_again_and_the_run_goes_on(cluster: Cluster, tmp_path: Path) -> None:
    write_recipe(tmp_path)
    command = ("submit", "small.yaml", "--address", cluster.address, "--retries", "2")
    process = cluster.start(*command, cwd=tmp_path)
    run = tmp_path / "runs" / "small"
    wait_for(run / "dedup" / "started.json")
    extracted = (run / "extract" / "manifest.json").read_bytes()
    [driver] = drivers(cluster)
    driver.kill()
    done = finish(process)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(set(SUBMITTED.findall(done.stdout))) == 2
    ended = re.search(r"ended with exit code (\S+); it is submitted again, 2 times more at most", done.stdout)
    assert ended and ended[1] in ("-9", "137"), "killed by signal 9, as its parent or a shell says it"
    assert (run / "samples" / "manifest.json").is_file()
    assert (run / "extract" / "manifest.json").read_bytes() == extracted, "what was done is not done again"


def test_a_run_that_is_still_held_costs_no_attempt(cluster: Cluster, tmp_path: Path) -> None:
    write_recipe(tmp_path)
    told = []
    with hold(tmp_path / "runs" / "small"):
        process = cluster.start("submit", "small.yaml", "--address", cluster.address, "--retries", "1", cwd=tmp_path)
        assert process.stdout is not None
        for line in process.stdout:
            told += [line] if "submitted again" in line else []
            if len(told) == 2:
                break
    done = finish(process)
    assert done.returncode == 0, done.stdout + done.stderr
    for line in told:
        assert "ended with exit code 75; it is submitted again, 1 times more at most" in line
    assert (tmp_path / "runs" / "small" / "samples" / "manifest.json").is_file()


def test_what_another_job_cannot_change_is_final(cluster: Cluster, tmp_path: Path) -> None:
    write_recipe(tmp_path)
    command = ("submit", "small.yaml", "--address", cluster.address, "--retries", "5", "--set", "name=small")
    process = cluster.start(*command, "--set", "train.steps=1000000", cwd=tmp_path)
    wait_for(tmp_path / "runs" / "small" / "pretrain" / "metrics.jsonl")
    assert cluster.crawl2chat("stop", "small", "--address", cluster.address, cwd=tmp_path).returncode == 0
    stopped = finish(process)
    assert stopped.returncode == 1, stopped.stdout
    assert "was stopped" in stopped.stderr
    assert len(SUBMITTED.findall(stopped.stdout)) == 1

    (tmp_path / "texts.jsonl").unlink()
    wrong = cluster.crawl2chat(*command[:-1], "name=wrong", cwd=tmp_path)
    assert wrong.returncode == 2
    assert wrong.stdout.count("submitted wrong") == 1


def test_retries_need_somebody_who_sees_the_failure(cluster: Cluster, tmp_path: Path) -> None:
    write_recipe(tmp_path)
    command = ("submit", "small.yaml", "--address", cluster.address, "--retries", "1", "--no-follow")
    refused = cluster.crawl2chat(*command, cwd=tmp_path)
    assert refused.returncode == 2
    assert "--retries does not go with --no-follow" in refused.stderr
