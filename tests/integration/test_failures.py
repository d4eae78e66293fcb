"""What dies besides Ray's controller and workers (test_pretrain.py): the driver, a node, the disk's last free byte.

Whatever it was, the run goes on to the losses of an undisturbed one: it has seen the same batches.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crawl2chat.core.errors import StageError
from crawl2chat.core.progress import Progress
from crawl2chat.core.run import Run
from crawl2chat.core.settings_training import Resources
from crawl2chat.train import checkpoints
from crawl2chat.train.course import read_course
from crawl2chat.train.job import Job
from crawl2chat.train.launcher import launch
from crawl2chat.train.loop import batch_indices
from crawl2chat.train.metrics import last_row, read_metrics
from crawl2chat.train.watch import without_figures
from crawl2chat.train.worker import run_training
from crawl2chat.train.world import World

from .training_run import job_of, play_run

pytestmark = [pytest.mark.slow]
TRAIN = {
    "steps": 300, "batch": 6, "log_every": 5, "validate_every": 100, "checkpoint_every": 20, "keep_checkpoints": 100,
    "optimizer": {"warmup_steps": 5},
}  # fmt: skip


@pytest.fixture
def run(tmp_path: Path, shared_data: Path) -> Run:
    return play_run(tmp_path, shared_data, TRAIN)


def check_undisturbed(job: Job, folder: Path) -> None:
    """The metrics in the job's folder are those of one process that nobody disturbed, but for rounding.

    Sums in another order differ in the last digit, and 300 steps make more of it.
    """
    alone = replace(job, folder=folder)
    run_training(alone, World())
    ours, theirs = ([without_figures(row) for row in read_metrics(one.folder)] for one in (job, alone))
    assert [row["step"] for row in ours] == [row["step"] for row in theirs]
    for mine, other in zip(ours, theirs, strict=True):
        for name, value in other.items():
            close = {"grad_norm": 0.05, "tokens_seen": 0, "lr": 0}.get(name, 1e-3)
            assert mine[name] == pytest.approx(value, rel=close), (name, mine, other)


def check_batches(job: Job, notes: Path) -> None:
    """Each start of a worker has read its parts of an undisturbed run's batches, step after step, to the row.

    `notes` are those of elastic_run.py. Every step was read whole, and by one worker as well as by two.
    """
    data, steps = job.open_data(), range(1, job.plan.steps + 1)
    batches = {step: np.array_split(batch_indices(job.plan, step, data), 2) for step in steps}
    known = {tuple(np.concatenate(parts).tolist()): (step, {0, 1}) for step, parts in batches.items()}
    known |= {tuple(part.tolist()): (s, {rank}) for s, parts in batches.items() for rank, part in enumerate(parts)}
    assert len(known) == 3 * job.plan.steps
    read: dict[int, set[int]] = {step: set() for step in steps}
    shares = set()
    for path in notes.iterdir():
        lines = path.read_text().split("\n")[:-1]
        found = [known[tuple(json.loads(line))] for line in lines]
        first = found[0]
        assert found == [(first[0] + number, first[1]) for number in range(len(found))]
        shares.add(len(first[1]))
        for step, halves in found:
            read[step] |= halves
    assert all(halves == {0, 1} for halves in read.values()) and shares == {1, 2}


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.02)


@pytest.mark.ray
def test_the_driver_is_killed_and_the_command_repeated(run: Run, tmp_path: Path) -> None:
    command = [sys.executable, str(Path(__file__).with_name("driver_run.py")), str(run.folder)]
    options: Any = {"text": True, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "cwd": tmp_path}
    driver = subprocess.Popen(command, **options)
    folder = run.stage("pretrain")
    wait_for((folder / "checkpoints" / "step_000040").exists, driver)
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    before = checkpoints.newest(folder / "checkpoints")
    assert before is not None and before.name < "step_000300"
    again = subprocess.run(command, **options, timeout=200, check=False)
    assert again.returncode == 0, again.stdout
    check_undisturbed(job_of(run), tmp_path / "alone")


@pytest.mark.ray
def test_the_disk_is_full_while_two_workers_write_checkpoints(
    run: Run, small_disk: Path, tmp_path: Path, local_ray: None
) -> None:
    job = replace(job_of(run), folder=small_disk / "pretrain")
    job.folder.mkdir()
    with pytest.raises(StageError, match="free some space") as caught:
        launch(job, Resources(train_workers=2), Progress("pretrain"))
    assert "which has 0 MiB free" in str(caught.value)
    kept = checkpoints.newest(job.checkpoints)
    assert kept is not None and not list(job.checkpoints.glob(".*"))
    assert len(list((job.folder / "tensorboard").iterdir())) == 1  # training began once
    subprocess.run(["mount", "-o", "remount,size=100m", str(small_disk)], check=True)
    assert checkpoints.step_name(run_training(job, World())) == kept.name
    check_undisturbed(job, tmp_path / "alone")


class Elastic:
    """elastic_run.py at work: a cluster of two nodes with a CPU each."""

    def __init__(self, run: Run, **more: str) -> None:
        environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"} | more
        command = [sys.executable, str(Path(__file__).with_name("elastic_run.py")), str(run.folder)]
        self.driver = subprocess.Popen(
            command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment
        )
        self.folder = run.stage("pretrain")

    def ranks(self) -> list[int]:
        """How many ranks wrote each checkpoint, oldest first."""
        paths = sorted((self.folder / "checkpoints").glob("step_*"))
        return [len(list(path.glob("*.distcp"))) for path in paths]

    def tell(self, order: str) -> None:
        assert self.driver.stdin is not None
        self.driver.stdin.write(order + "\n")
        self.driver.stdin.flush()

    def end(self) -> str:
        self.tell("hurry")
        output, _ = self.driver.communicate(timeout=120)
        assert self.driver.returncode == 0, output
        row = last_row(self.folder)
        assert row is not None and row["step"] == TRAIN["steps"], json.dumps(row)
        return output


@pytest.mark.ray
def test_a_node_dies_training_goes_on_with_fewer_workers_and_grows_again(run: Run, tmp_path: Path) -> None:
    """The second node's raylet is killed."""
    at_work = Elastic(run)
    ranks, driver = at_work.ranks, at_work.driver
    wait_for(lambda: ranks()[:1] == [2], driver)
    at_work.tell("kill")
    wait_for(lambda: 1 in ranks(), driver)
    at_work.tell("add")
    wait_for(lambda: 2 in ranks()[ranks().index(1) :], driver)
    at_work.end()
    check_batches(job_of(run), run.folder / "read")
    check_undisturbed(job_of(run), tmp_path / "alone")


@pytest.mark.ray
def test_a_node_gives_notice_and_training_leaves_it_in_time_without_repeating_a_step(run: Run, tmp_path: Path) -> None:
    at_work = Elastic(run, RAY_TRAIN_ENABLE_PREEMPTION_WATCHER="1", RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S="1")
    wait_for(lambda: at_work.ranks()[:1] == [2], at_work.driver)
    told = time.time()
    at_work.tell("drain")
    wait_for(lambda: 1 in at_work.ranks(), at_work.driver)
    output = at_work.end()
    first, second = (line for line in read_course(at_work.folder) if line["what"] == "start")
    assert (first["ranks"], second["ranks"]) == (2, 1)
    left = second["step"]
    assert f"left after step {left}, as a node is to be taken away" in output
    [saved] = [line for line in read_course(at_work.folder) if (line["what"], line["step"]) == ("checkpoint", left)]
    assert told < saved["time"] < told + 30, "within the time that the node has left"
    *before, after = sorted(len(path.read_text().splitlines()) for path in (run.folder / "read").iterdir())
    assert after == TRAIN["steps"] - left and max(before) <= left + 3, "no step twice, but what was fetched ahead"
    check_batches(job_of(run), run.folder / "read")
    check_undisturbed(job_of(run), tmp_path / "alone")
