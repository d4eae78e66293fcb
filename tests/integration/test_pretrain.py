"""The stage `pretrain` on Ray Train with two workers, through every kind of death: the controller's, a worker's right
after a checkpoint, a worker's between two checkpoints. It ends with the bits of an undisturbed run."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing
from crawl2chat.core.errors import ContractError, StageError
from crawl2chat.core.manifest import Manifest
from crawl2chat.core.run import Run
from crawl2chat.core.runner import bring_up_to_date
from crawl2chat.train import checkpoints
from crawl2chat.train.job import Job
from crawl2chat.train.metrics import last_row, read_metrics
from crawl2chat.train.pretrain_stage import PRETRAIN
from crawl2chat.train.watch import without_figures
from crawl2chat.train.worker import run_training
from crawl2chat.train.world import Distributed

from .training_run import job_of, play_run

pytestmark = [pytest.mark.ray, pytest.mark.slow]
STEPS, CHECKPOINT_EVERY, LOG_EVERY = 90, 30, 5


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Run:
    train = {
        "steps": STEPS, "batch": 16, "log_every": LOG_EVERY, "validate_every": 30,
        "checkpoint_every": CHECKPOINT_EVERY, "optimizer": {"warmup_steps": 5},
    }  # fmt: skip
    return play_run(tmp_path_factory.mktemp("runs"), shared_data, train)


def rank(number: int, job: Job, port: int) -> None:
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=number, world_size=2)
    run_training(job, Distributed())
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def undisturbed(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same job in two plain processes, without Ray."""
    job = replace(job_of(run), folder=tmp_path_factory.mktemp("undisturbed"))
    torch.multiprocessing.spawn(rank, (job, 29_000 + os.getpid() % 1000), nprocs=2)
    return job.folder


def descendants(pid: int) -> list[int]:
    """Processes that this one, or one of those, started."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for parent in found:
        found += [child for child, its in parents.items() if its == parent]
    return found[1:]


class Killer(threading.Thread):
    """Kills a process of this session's Ray as soon as a condition holds."""

    def __init__(self, process: str, when: Callable[[], bool]) -> None:
        super().__init__(daemon=True)
        self.process, self.when, self.killed = process, when, 0
        self.start()

    def run(self) -> None:
        while not self.when():
            time.sleep(0.01)
        for pid in descendants(os.getpid()):
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(self.process.encode()):
                os.kill(pid, signal.SIGKILL)
                self.killed = pid
                return


def train(run: Run) -> Manifest:
    [(_, made)] = list(bring_up_to_date([PRETRAIN], run, nullcontext))
    return made


def same_but_for_speed(folder: Path) -> list[dict]:
    return [without_figures(row) for row in read_metrics(folder)]


def test_another_tokenizer_is_refused_before_any_worker_starts(run: Run) -> None:
    shards = run.stage("shards") / "manifest.json"
    before = shards.read_text()
    other = json.loads(before)
    other["facts"]["tokenizer_digest"] = "f" * 64
    shards.write_text(json.dumps(other))
    try:
        with pytest.raises(ContractError, match="f" * 64):
            train(run)
    finally:
        shards.write_text(before)


def test_killed_controller_and_workers_end_with_the_bits_of_an_undisturbed_run(
    run: Run, undisturbed: Path, local_ray: None
) -> None:
    folder = run.stage("pretrain")

    def logged(step: int) -> bool:
        row = last_row(folder)
        return row is not None and row["step"] >= step

    controller = Killer("ray::TrainController", lambda: logged(LOG_EVERY))
    with pytest.raises(StageError, match="controller"):
        train(run)
    assert controller.killed

    after_checkpoint = Killer("ray::RayTrainWorker", (folder / "checkpoints" / "step_000030").exists)
    between = Killer("ray::RayTrainWorker", lambda: logged(CHECKPOINT_EVERY + 4 * LOG_EVERY))
    made = train(run)
    assert after_checkpoint.killed and between.killed and after_checkpoint.killed != between.killed

    last = folder / made.facts["checkpoint"]
    assert last.name == f"step_{STEPS:06d}"
    assert same_but_for_speed(folder) == same_but_for_speed(undisturbed)
    ours, _ = checkpoints.load_for_inference(last)
    theirs, _ = checkpoints.load_for_inference(undisturbed / "checkpoints" / last.name)
    for name, tensor in ours.state_dict().items():
        assert torch.equal(tensor, theirs.state_dict()[name]), name
    counters = made.counters
    assert counters["bits_per_byte"] < counters["baseline_unigram_bpb"]
    assert counters["validation_loss"] == read_metrics(undisturbed)[-1]["validation_loss"]
